import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { run } from './run.mjs'

/** The content of `folder` as tar.gz; the same content gives the same bytes. */
function packFolder(folder, epoch) {
  const workshop = mkdtempSync(join(tmpdir(), 'wal-g-release-'))
  try {
    const file = join(workshop, 'content.tar')
    const result = run('tar', [
      '--sort=name',
      `--mtime=@${epoch}`,
      '--owner=0',
      '--group=0',
      '--numeric-owner',
      '--mode=u=rwX,go=rX',
      '--format=gnu',
      '-cf',
      file,
      '-C',
      folder,
      '.',
    ])
    if (result.status !== 0) throw new Error(`tar: ${result.stderr}`)
    return gzipSync(readFileSync(file), { level: 9 })
  } finally {
    rmSync(workshop, { recursive: true })
  }
}

export function writeTarball(target, folder, epoch) {
  writeFileSync(target, packFolder(folder, epoch))
}

/** One member of an `ar` archive, as dpkg reads it. */
function arMember(name, epoch, bytes) {
  const header = [
    name.padEnd(16),
    String(epoch).padEnd(12),
    '0'.padEnd(6),
    '0'.padEnd(6),
    '100644'.padEnd(8),
    String(bytes.length).padEnd(10),
    '`\n',
  ].join('')
  return Buffer.concat([
    Buffer.from(header, 'latin1'),
    bytes,
    Buffer.from(bytes.length % 2 === 1 ? '\n' : ''),
  ])
}

/** A Debian package with /usr/bin/wal-g: an ar archive of two tars, written here so that any system can make it. */
export function writeDeb(target, { executable, license, platform, packageFile, epoch }) {
  const workshop = mkdtempSync(join(tmpdir(), 'wal-g-deb-'))
  try {
    const data = join(workshop, 'data')
    mkdirSync(join(data, 'usr/bin'), { recursive: true })
    mkdirSync(join(data, 'usr/share/doc/wal-g'), { recursive: true })
    cpSync(executable, join(data, 'usr/bin/wal-g'))
    cpSync(license, join(data, 'usr/share/doc/wal-g/copyright'))
    const control = join(workshop, 'control')
    mkdirSync(control)
    const fields = {
      Package: 'wal-g',
      Version: packageFile.version,
      Architecture: platform,
      Maintainer: 'wal-g developers <wal-g@localhost>',
      'Installed-Size': Math.ceil(statSync(executable).size / 1024),
      // the lzma addon is C++; the runtime itself needs no more than glibc
      Depends: 'libc6 (>= 2.28), libstdc++6',
      Section: 'database',
      Priority: 'optional',
      Description: packageFile.description,
    }
    const text = Object.entries(fields).map(([name, value]) => `${name}: ${value}\n`)
    writeFileSync(join(control, 'control'), text.join(''))
    writeFileSync(
      target,
      Buffer.concat([
        Buffer.from('!<arch>\n'),
        arMember('debian-binary', epoch, Buffer.from('2.0\n')),
        arMember('control.tar.gz', epoch, packFolder(control, epoch)),
        arMember('data.tar.gz', epoch, packFolder(data, epoch)),
      ]),
    )
  } finally {
    rmSync(workshop, { recursive: true })
  }
}
