"""A real Keystone (identity version 3) on loopback, with sqlite; prints READY when it answers.

Usage: identity_server.py FOLDER PORT
Its administrator is admin/admin of the project admin, in the region RegionOne.
"""
import grp
import os
import pwd
import sqlite3
import subprocess
import sys

folder, port = sys.argv[1], int(sys.argv[2])
url = 'http://127.0.0.1:%d/v3' % port
config = os.path.join(folder, 'keystone.conf')

with open(config, 'w') as file:
    file.write('''[DEFAULT]
log_file = {0}/keystone.log
[database]
connection = sqlite:///{0}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {0}/fernet
[credential]
key_repository = {0}/credential
[identity]
password_hash_rounds = 4
[oslo_policy]
policy_file = {0}/policy.yaml
'''.format(folder))
with open(os.path.join(folder, 'policy.yaml'), 'w') as file:
    file.write('{}')
for name in ('fernet', 'credential'):
    os.mkdir(os.path.join(folder, name), 0o700)

MANAGE = 'import sys; from keystone.cmd.manage import main; sys.argv[0] = "keystone-manage"; main()'


def manage(*words):
    done = subprocess.run([sys.executable, '-c', MANAGE, '--config-file', config, *words],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit('keystone-manage %s: %s' % (words[0], done.stdout[-3000:]))


manage('db_sync')
# several requests at once: without it the database is locked
sqlite3.connect(os.path.join(folder, 'keystone.db')).execute('pragma journal_mode=wal')
owner = ['--keystone-user', pwd.getpwuid(os.getuid()).pw_name, '--keystone-group', grp.getgrgid(os.getgid()).gr_name]
manage('fernet_setup', *owner)
manage('credential_setup', *owner)
manage('bootstrap', '--bootstrap-password', 'admin', '--bootstrap-region-id', 'RegionOne',
       '--bootstrap-public-url', url, '--bootstrap-internal-url', url, '--bootstrap-admin-url', url)

os.environ['OS_KEYSTONE_CONFIG_FILES'] = config
os.environ['OS_KEYSTONE_CONFIG_DIR'] = folder
sys.argv = ['keystone', '--config-file', config]
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from keystone.server.wsgi import initialize_public_application


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *words):
        pass


server = make_server('127.0.0.1', port, initialize_public_application(), Server, Quiet)
print('READY', flush=True)
server.serve_forever()
