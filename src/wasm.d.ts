/** `import path from './x.wasm' with { type: 'file' }`: the path from which the module's bytes are read. */
declare module '*.wasm' {
  const path: string
  export default path
}
