"""OpenStack Swift in one process, for tests: its real account, container, object and proxy servers on loopback.

Usage: server.py FOLDER [--max-file-size BYTES] [--keystone URL]
Everything lives below FOLDER, which must be on a file system with user attributes. Any user may run it. Prints
`READY <port>`; ends with SIGTERM, or when its standard input closes.
S3: path style, key `test:tester`, secret `testing`, region us-east-1; a bucket is a container of AUTH_test.
Swift: GET /auth/v1.0 with X-Auth-User: test:tester and X-Auth-Key: testing.
"""
import argparse
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

import eventlet

eventlet.monkey_patch(thread=False)

parser = argparse.ArgumentParser()
parser.add_argument('folder')
parser.add_argument('--max-file-size')
parser.add_argument('--keystone')
options = parser.parse_args()
folder = os.path.abspath(options.folder)
for name in ('etc', 'srv/sdb1', 'recon'):
    os.makedirs(os.path.join(folder, name), exist_ok=True)


def write(name, text):
    path = os.path.join(folder, 'etc', name)
    with open(path, 'w') as file:
        file.write(text)
    return path


constraints = '' if options.max_file_size is None else 'max_file_size = %s\n' % options.max_file_size
configuration = write('swift.conf', '''[swift-hash]
swift_hash_path_suffix = test
swift_hash_path_prefix = test
[storage-policy:0]
name = gold
default = yes
[swift-constraints]
''' + constraints)

import swift.common.constraints as swift_constraints
import swift.common.storage_policy as swift_policies
import swift.common.utils as swift_utils

for module in (swift_utils, swift_policies, swift_constraints):
    if hasattr(module, 'SWIFT_CONF_FILE'):
        module.SWIFT_CONF_FILE = configuration
swift_utils.HASH_PATH_SUFFIX = swift_utils.HASH_PATH_PREFIX = b'test'
swift_constraints.reload_constraints()
swift_policies.reload_storage_policies()

from eventlet import listen, wsgi
from swift.common.ring.builder import RingBuilder
from swift.common.wsgi import SwiftHttpProtocol, loadapp


class Memory(object):
    """Stands in for memcached, where the tokens of tempauth live."""

    def __init__(self):
        self.values = {}

    def get(self, key, raise_on_error=False):
        value, end = self.values.get(key, (None, 0))
        return value if end == 0 or end > time.time() else None

    def set(self, key, value, serialize=True, time=0, min_compress_len=0, raise_on_error=False):
        self.values[key] = (value, now() + time if time else 0)

    def incr(self, key, delta=1, time=0):
        value = max(0, int(self.get(key) or 0) + delta)
        self.set(key, value, time=time)
        return value

    def decr(self, key, delta=1, time=0):
        return self.incr(key, -delta, time)

    def delete(self, key, server_key=None):
        self.values.pop(key, None)

    def set_multi(self, mapping, server_key, serialize=True, time=0, min_compress_len=0):
        for key, value in mapping.items():
            self.set(key, value, time=time)

    def get_multi(self, keys, server_key):
        return [self.get(key) for key in keys]

    @contextmanager
    def soft_lock(self, key, timeout=0, retries=5):
        yield True


def now():
    return time.time()


def memory_filter(configuration, **_):
    memory = Memory()

    def wrap(app):
        def answer(environment, start_response):
            environment['swift.cache'] = memory
            return app(environment, start_response)
        return answer
    return wrap


import types

module = types.ModuleType('memory_cache')
module.filter_factory = memory_filter
sys.modules['memory_cache'] = module

BACKENDS = ('account', 'container', 'object')
sockets = {kind: listen(('127.0.0.1', 0), backlog=512) for kind in BACKENDS}
for kind, socket in sockets.items():
    builder = RingBuilder(2, 1, 0)
    builder.add_dev({'region': 1, 'zone': 1, 'ip': '127.0.0.1', 'port': socket.getsockname()[1],
                     'device': 'sdb1', 'weight': 1.0})
    builder.rebalance()
    builder.get_ring().save('%s/etc/%s.ring.gz' % (folder, kind))

base = '''[DEFAULT]
swift_dir = %s/etc
devices = %s/srv
mount_check = false
user = root
fallocate_reserve = 0
disable_fallocate = true
log_level = WARNING
recon_cache_path = %s/recon
''' % (folder, folder, folder)

apps = {}
for kind in BACKENDS:
    apps[kind] = loadapp(write('%s.conf' % kind, base + '''[pipeline:main]
pipeline = %s-server
[app:%s-server]
use = egg:swift#%s
''' % (kind, kind, kind)))

auth = 'tempauth'
auth_filters = '''[filter:tempauth]
use = egg:swift#tempauth
user_admin_admin = admin .admin .reseller_admin
user_test_tester = testing .admin
user_test2_tester2 = testing2 .admin
user_test_guest = guest
'''
if options.keystone is not None:
    auth = 's3token authtoken keystoneauth'
    auth_filters = '''[filter:s3token]
use = egg:swift#s3token
auth_uri = {0}/v3
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {0}
auth_url = {0}
auth_plugin = password
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = service
username = swift
password = swift
delay_auth_decision = True
cache = swift.cache
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
'''.format(options.keystone)

apps['proxy'] = loadapp(write('proxy.conf', base + '''[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl s3api %s copy slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:tempurl]
use = egg:swift#tempurl
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
max_upload_part_num = 10000
auth_pipeline_check = false
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
rate_limit_after_segment = 100000
[filter:dlo]
use = egg:swift#dlo
rate_limit_after_segment = 100000
[filter:symlink]
use = egg:swift#symlink
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:cache]
paste.filter_factory = memory_cache:filter_factory
%s''' % (auth, auth_filters)))


class Silence(object):
    def debug(self, *_, **__):
        pass

    error = warning = info = exception = debug


def end(*_):
    os._exit(0)


def end_with_parent():
    while os.read(0, 4096):
        pass
    end()


signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
threading.Thread(target=end_with_parent, daemon=True).start()
serve = dict(protocol=SwiftHttpProtocol, capitalize_response_headers=False)
for kind, socket in sockets.items():
    eventlet.spawn(wsgi.server, socket, apps[kind], Silence(), **serve)
front = listen(('127.0.0.1', 0), backlog=512)
print('READY %d' % front.getsockname()[1], flush=True)
wsgi.server(front, apps['proxy'], Silence(), **serve)
