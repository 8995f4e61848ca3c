/** The part of the package that is used; it comes without types. */
declare module 'lzma-native' {
  import type { Transform } from 'node:stream'
  export interface AloneOptions {
    readonly dictSize: number
    readonly lc: number
    readonly lp: number
    readonly pb: number
    readonly mode: number
    readonly mf: number
    readonly niceLen: number
    readonly depth: number
  }
  export function createStream(coder: 'aloneEncoder', options: AloneOptions): Transform
  export const MODE_FAST: number
  export const MF_HC4: number
}
