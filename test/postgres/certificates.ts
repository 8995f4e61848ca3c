import { execFileSync } from 'node:child_process'
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../support/cluster.ts'
import { giveToClusterUser } from '../support/cluster-user.ts'

/** Makes throw-away authorities and certificates with the openssl program. */
export class Certificates {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  /** NAME.crt and NAME.key of an authority. */
  authority(name: string): void {
    this.#openssl(
      'req',
      '-x509',
      ...newKey(name),
      '-out',
      `${name}.crt`,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
    )
  }

  /** NAME.crt and NAME.key, signed by `by`; `passphrase` locks the key. */
  issue(name: string, by: string, subject: string, alternatives?: string, passphrase?: string): void {
    this.#openssl('req', ...newKey(name, passphrase), '-out', `${name}.csr`, '-subj', subject)
    writeFileSync(
      this.path(`${name}.ext`),
      alternatives === undefined ? '' : `subjectAltName=${alternatives}\n`,
    )
    const signing = ['-CA', `${by}.crt`, '-CAkey', `${by}.key`, '-CAcreateserial', '-extfile', `${name}.ext`]
    this.#openssl('x509', '-req', '-in', `${name}.csr`, ...signing, '-out', `${name}.crt`, '-days', '2')
  }

  /** NAME.crl of an authority in which `revoked` is void. */
  revoke(authority: string, revoked: string): void {
    writeFileSync(this.path('index.txt'), '')
    writeFileSync(this.path('crlnumber'), '01\n')
    const section = `database=${this.path('index.txt')}\ncrlnumber=${this.path('crlnumber')}\ndefault_md=sha256\n`
    writeFileSync(this.path('ca.cnf'), `[ca]\ndefault_ca=d\n[d]\n${section}default_crl_days=2\n`)
    const signer = ['-config', 'ca.cnf', '-keyfile', `${authority}.key`, '-cert', `${authority}.crt`]
    this.#openssl('ca', ...signer, '-revoke', `${revoked}.crt`)
    this.#openssl('ca', ...signer, '-gencrl', '-out', `${authority}.crl`)
  }

  /** Puts a file where the server finds it, readable by nobody else. */
  give(cluster: Cluster, name: string): void {
    const target = join(cluster.dataDirectory, name)
    copyFileSync(this.path(name), target)
    giveToClusterUser(target, 0o600)
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.directory, stdio: 'pipe' })
  }
}

function newKey(name: string, passphrase?: string): string[] {
  const lock = passphrase === undefined ? ['-nodes'] : ['-passout', `pass:${passphrase}`]
  return ['-newkey', 'rsa:2048', ...lock, '-keyout', `${name}.key`]
}
