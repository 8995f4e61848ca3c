import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../test/support/seeded-random.ts'
import { checkArguments, parseArguments, splitCommand } from './arguments.ts'
import type { FlagDefinition } from './command.ts'

const FLAGS: readonly FlagDefinition[] = [
  { name: 'full', short: 'f', type: 'boolean', doc: '' },
  { name: 'verify', short: 'v', type: 'boolean', doc: '' },
  { name: 'name', short: 'n', type: 'string', doc: '' },
  { name: 'only', type: 'strings', doc: '' },
  { name: 'count', type: 'number', doc: '' },
  { name: 'must', type: 'string', doc: '', isRequired: true },
]
const isSettingFlag = (name: string): boolean => name === 'walg-s3-prefix' || name === 'pghost'
const parse = (...args: string[]): ReturnType<typeof parseArguments> =>
  parseArguments(args, FLAGS, isSettingFlag)

describe('arguments', () => {
  test('flags stand anywhere, with their value after = or as the next word', () => {
    const parsed = parse('a', '--name=x', 'b', '--name', 'y', '--full')
    expect(parsed.positionals).toEqual(['a', 'b'])
    expect(parsed.flags).toEqual({ name: 'y', full: true })
  })

  test('short flags form clusters, of which the last may take a value', () => {
    expect(parse('-fv').flags).toEqual({ full: true, verify: true })
    expect(parse('-fnx').flags).toEqual({ full: true, name: 'x' })
    expect(parse('-fn', 'x').flags).toEqual({ full: true, name: 'x' })
    expect(parse('-n=x').flags).toEqual({ name: 'x' })
    expect(parse('-f=false').flags).toEqual({ full: false })
  })

  test('a boolean flag never takes the next word', () => {
    expect(parse('--full', 'false')).toMatchObject({ positionals: ['false'], flags: { full: true } })
    expect(parse('--full=0').flags).toEqual({ full: false })
  })

  test('everything after -- is positional, and so is a single dash', () => {
    expect(parse('-', '--', '--full', '-x').positionals).toEqual(['-', '--full', '-x'])
  })

  test('lists split at commas outside of quotes and add up', () => {
    expect(parse('--only=a,b', '--only', '"c,d",e').flags).toEqual({ only: ['a', 'b', 'c,d', 'e'] })
  })

  test('every setting is a flag, and an empty value is a value', () => {
    const { settingFlags } = parse('--pghost=', '--walg-s3-prefix', 's3://x')
    expect([...settingFlags]).toEqual([
      ['pghost', ''],
      ['walg-s3-prefix', 's3://x'],
    ])
  })

  test('mistakes are told in the words of the original', () => {
    const mistakes: [string[], string][] = [
      [['--nope'], 'unknown flag: --nope'],
      [['-fx'], "unknown shorthand flag: 'x' in -x"],
      [['--name'], 'flag needs an argument: --name'],
      [['-n'], "flag needs an argument: 'n' in -n"],
      [['---x'], 'bad flag syntax: ---x'],
      [['--=x'], 'bad flag syntax: --=x'],
      [
        ['--full=maybe'],
        'invalid argument "maybe" for "-f, --full" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
      ],
      [
        ['--count=0x'],
        'invalid argument "0x" for "--count" flag: strconv.ParseInt: parsing "0x": invalid syntax',
      ],
    ]
    for (const [args, message] of mistakes) expect(() => parse(...args)).toThrow(message)
  })

  test('the count of positionals and required flags are checked in the words of the original', () => {
    const check = (rule: Parameters<typeof checkArguments>[1], ...args: string[]) => {
      return () => checkArguments('wal-g verb', rule, FLAGS, parse(...args))
    }
    expect(check({ kind: 'none' }, 'x')).toThrow('unknown command "x" for "wal-g verb"')
    expect(check({ kind: 'exact', count: 2 }, 'x')).toThrow('accepts 2 arg(s), received 1')
    expect(check({ kind: 'range', min: 0, max: 1 }, 'x', 'y')).toThrow('accepts at most 1 arg(s), received 2')
    expect(check({ kind: 'range', min: 1, max: 2 })).toThrow('accepts between 1 and 2 arg(s), received 0')
    expect(check({ kind: 'words', words: ['bash'] }, 'x')).toThrow('invalid argument "x" for "wal-g verb"')
    expect(check({ kind: 'none' })).toThrow('required flag(s) "must" not set')
    expect(check({ kind: 'exact', count: 1 }, 'x', '--must=')).not.toThrow()
  })
})

describe('the command', () => {
  const split = (...argv: string[]): ReturnType<typeof splitCommand> => splitCommand(argv, isSettingFlag)

  test('is the first word that is no flag and no value of a global flag', () => {
    expect(split('wal-push', 'x')).toEqual({ name: 'wal-push', rest: ['x'] })
    expect(split('--config', 'c', '--pghost', 'h', '--turbo', 'wal-push', 'x')).toEqual({
      name: 'wal-push',
      rest: ['--config', 'c', '--pghost', 'h', '--turbo', 'x'],
    })
    expect(split('--config=c', 'wal-push').name).toBe('wal-push')
  })

  test('is absent when there are only flags', () => {
    expect(split('--version').name).toBeUndefined()
    expect(split('--', 'wal-push').name).toBeUndefined()
  })
})

describe('any words at all', () => {
  test('are parsed, or refused as a mistake of usage', () => {
    const word = fc.oneof(
      fc.string(),
      fc.constantFrom('--', '-', '-f', '-fn', '--name', '--name=', '--full=x', '--pghost', '---', '-='),
    )
    fc.assert(
      fc.property(fc.array(word), words => {
        try {
          const { rest } = splitCommand(words, isSettingFlag)
          parse(...rest)
        } catch (error) {
          expect(error).toMatchObject({ code: 'USAGE' })
        }
      }),
      { seed },
    )
  })
})
