import fs from 'node:fs'
import ssh2 from 'ssh2'

/** A server of the bare protocol, version 3, without one of OpenSSH's extensions, that lets in by password. */
export interface PlainSftpServer extends AsyncDisposable {
  readonly port: number
}

const { STATUS_CODE: STATUS, flagsToString } = ssh2.utils.sftp

interface Opened {
  readonly fd?: number
  readonly path?: string
  names?: string[] | undefined
}

/** `methods`: how a password is taken, `password` or `keyboard-interactive`. */
export async function startPlainSftpServer(
  username: string,
  password: string,
  method: 'password' | 'keyboard-interactive' = 'password',
): Promise<PlainSftpServer> {
  const host = ssh2.utils.generateKeyPairSync('ed25519')
  const server = new ssh2.Server({ hostKeys: [host.private] }, client => {
    client.on('authentication', context => {
      if (context.username !== username || context.method !== method) return context.reject([method])
      if (context.method === 'password') {
        return context.password === password ? context.accept() : context.reject([method])
      }
      if (context.method !== 'keyboard-interactive') return
      context.prompt([{ prompt: 'Password: ', echo: false }], answers =>
        answers[0] === password ? context.accept() : context.reject([method]),
      )
    })
    client.on('error', () => undefined)
    client.on('session', accept => {
      accept().on('sftp', acceptSftp => serve(acceptSftp()))
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    async [Symbol.asyncDispose]() {
      await new Promise<void>(resolve => server.close(() => resolve()))
    },
  }
}

function serve(sftp: ssh2.SFTPWrapper): void {
  const opened = new Map<number, Opened>()
  let count = 0
  const open = (what: Opened): Buffer => {
    const handle = Buffer.alloc(4)
    handle.writeUInt32BE(++count)
    opened.set(count, what)
    return handle
  }
  const find = (handle: Buffer): Opened => opened.get(handle.readUInt32BE(0)) ?? {}
  const attempt = (id: number, work: () => void): void => {
    try {
      work()
    } catch (error) {
      const { code } = error as { code?: string }
      const isMissing = code === 'ENOENT' || code === 'ENOTDIR'
      sftp.status(
        id,
        isMissing ? STATUS.NO_SUCH_FILE : code === 'EACCES' ? STATUS.PERMISSION_DENIED : STATUS.FAILURE,
      )
    }
  }
  const done = (id: number, work: () => void): void =>
    attempt(id, () => {
      work()
      sftp.status(id, STATUS.OK)
    })
  sftp.on('OPEN', (id, path, flags) =>
    attempt(id, () => sftp.handle(id, open({ fd: fs.openSync(path, flagsToString(flags) ?? 'r') }))),
  )
  sftp.on('READ', (id, handle, offset, length) =>
    attempt(id, () => {
      // never more than half of what was asked for: a server may
      const bytes = Buffer.alloc(Math.max(1, length >> 1))
      const read = fs.readSync(find(handle).fd ?? -1, bytes, 0, bytes.length, offset)
      if (read === 0) sftp.status(id, STATUS.EOF)
      else sftp.data(id, bytes.subarray(0, read))
    }),
  )
  sftp.on('WRITE', (id, handle, offset, data) =>
    done(id, () => fs.writeSync(find(handle).fd ?? -1, data, 0, data.length, offset)),
  )
  sftp.on('CLOSE', (id, handle) =>
    done(id, () => {
      const { fd } = find(handle)
      if (fd !== undefined) fs.closeSync(fd)
      opened.delete(handle.readUInt32BE(0))
    }),
  )
  sftp.on('OPENDIR', (id, path) =>
    attempt(id, () => sftp.handle(id, open({ path, names: fs.readdirSync(path) }))),
  )
  sftp.on('READDIR', (id, handle) =>
    attempt(id, () => {
      const folder = find(handle)
      const names = folder.names?.splice(0, 50) ?? []
      if (names.length === 0) return sftp.status(id, STATUS.EOF)
      sftp.name(
        id,
        names.map(filename => ({
          filename,
          longname: filename,
          attrs: attributesOf(fs.lstatSync(`${folder.path}/${filename}`)),
        })),
      )
    }),
  )
  sftp.on('FSTAT', (id, handle) =>
    attempt(id, () => sftp.attrs(id, attributesOf(fs.fstatSync(find(handle).fd ?? -1)))),
  )
  sftp.on('STAT', (id, path) => attempt(id, () => sftp.attrs(id, attributesOf(fs.statSync(path)))))
  sftp.on('LSTAT', (id, path) => attempt(id, () => sftp.attrs(id, attributesOf(fs.lstatSync(path)))))
  sftp.on('MKDIR', (id, path) => done(id, () => fs.mkdirSync(path)))
  sftp.on('RMDIR', (id, path) => done(id, () => fs.rmdirSync(path)))
  sftp.on('REMOVE', (id, path) => done(id, () => fs.unlinkSync(path)))
  sftp.on('RENAME', (id, source, target) =>
    done(id, () => {
      if (fs.existsSync(target)) throw new Error('there is a file of that name')
      fs.renameSync(source, target)
    }),
  )
}

function attributesOf(stats: fs.Stats): ssh2.Attributes {
  const { mode, uid, gid, size } = stats
  return {
    mode,
    uid,
    gid,
    size,
    atime: Math.floor(stats.atimeMs / 1000),
    mtime: Math.floor(stats.mtimeMs / 1000),
  }
}
