import fs from 'node:fs'
import { errnoOf, fromSystemError, WalgError } from '../../../kit/errors.ts'

/** Where members land. Plain data: every worker has its own tree on it. */
export interface TargetLayout {
  /** Absolute path of the directory that is restored into, symbolic links resolved. */
  readonly root: string
  /** Members that are put elsewhere until the restore is complete: canonical name -> absolute path. */
  readonly pending: Readonly<Record<string, string>>
  /** The only symbolic links that may be walked through: canonical name -> where it points. */
  readonly links: Readonly<Record<string, string>>
}

/** A member's canonical name; `bytes` when it is not UTF-8. */
export interface TargetName {
  readonly name: string
  readonly bytes?: Uint8Array | undefined
}

/**
 * The directories of a restore. Nothing is ever written through a symbolic link that was not planned: each parent is
 * looked at once, then remembered.
 */
export class TargetTree {
  readonly #layout: TargetLayout
  readonly #known = new Set<string>([''])

  constructor(layout: TargetLayout) {
    this.#layout = layout
  }

  /** The path of a member; a Buffer when the name is not UTF-8. */
  pathOf(target: TargetName): string | Buffer {
    if (target.bytes !== undefined) {
      const root = Buffer.from(`${this.#layout.root}/`)
      return Buffer.concat([root, Buffer.from(canonicalBytes(target.bytes), 'latin1')])
    }
    const { name } = target
    return this.#layout.pending[name] ?? (name === '' ? this.#layout.root : `${this.#layout.root}/${name}`)
  }

  /** Makes sure that the parent of a member is a directory of this tree, creating what is missing. */
  ensureParent(target: TargetName): void {
    const name = target.bytes === undefined ? target.name : canonicalBytes(target.bytes)
    const slash = name.lastIndexOf('/')
    if (slash > 0) this.#ensure(name.slice(0, slash), target.bytes !== undefined)
  }

  /** Makes sure that the member is a directory, creating it and its parents. */
  ensureDirectory(target: TargetName): void {
    if (target.bytes === undefined) this.#ensure(target.name, false)
    else this.#ensure(canonicalBytes(target.bytes), true)
  }

  #ensure(name: string, isBytes: boolean): void {
    const key = isBytes ? `\0${name}` : name
    if (name === '' || this.#known.has(key)) return
    const slash = name.lastIndexOf('/')
    if (slash > 0) this.#ensure(name.slice(0, slash), isBytes)
    const path = isBytes
      ? Buffer.concat([Buffer.from(`${this.#layout.root}/`), Buffer.from(name, 'latin1')])
      : `${this.#layout.root}/${name}`
    makeDirectory(path)
    const info = look(path)
    if (info?.isSymbolicLink() === true) this.#checkLink(name, String(path))
    else if (info?.isDirectory() !== true) throw notADirectory(String(path))
    this.#known.add(key)
  }

  #checkLink(name: string, path: string): void {
    const planned = this.#layout.links[name]
    if (planned !== undefined && fs.readlinkSync(path) === planned) return
    throw new WalgError('TARGET_MISMATCH', `"${path}" is a symbolic link that this restore did not make`, {
      facts: { path },
      hint: 'restore into an empty directory',
    })
  }
}

/** Bytes that are not UTF-8 as a string of the same bytes (latin1), without slashes at the ends. */
function canonicalBytes(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('latin1')
  const parts = text.split('/').filter(part => part !== '' && part !== '.')
  return parts.join('/')
}

function makeDirectory(path: string | Buffer): void {
  try {
    fs.mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw fromSystemError(error, 'create', String(path))
  }
}

function look(path: string | Buffer): fs.Stats | undefined {
  try {
    return fs.lstatSync(path)
  } catch (error) {
    throw fromSystemError(error, 'look at', String(path))
  }
}

function notADirectory(path: string): WalgError {
  return new WalgError('TARGET_MISMATCH', `"${path}" is not a directory`, {
    facts: { path },
    hint: 'restore into an empty directory',
  })
}
