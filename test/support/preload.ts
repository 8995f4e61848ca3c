import { afterAll } from 'bun:test'
import { cleanUpNow } from './leftovers.ts'

afterAll(cleanUpNow)
