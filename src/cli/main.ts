#!/usr/bin/env bun
import { writeSync } from 'node:fs'
import { versionLine } from './version.ts'

const argv = process.argv.slice(2)

// The commonest probe of all does nothing but print.
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-v')) {
  try {
    writeSync(1, `${versionLine()}\n`)
  } catch {
    // a full disk behind it, say: the long way tells
    go()
  }
} else go()

function go(): void {
  void import('./run.ts').then(async ({ run }) => process.exit(await run(argv)))
}
