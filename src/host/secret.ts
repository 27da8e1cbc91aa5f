/** A secret of this machine in a file of its own (0600): drawn once, read ever after, never printed. */
import { randomBytes } from 'node:crypto'
import { linkSync, lstatSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Fault } from './fault.ts'

const secretBytes = 32

/** The secret in `file`; where there is none, one is drawn. Two processes that draw at once end up with the same one. Faults: `secret-unsafe`. */
export function ownSecret(file: string): Buffer {
  const found = readSecret(file)
  if (found) return found
  place(file, randomBytes(secretBytes))
  return readSecret(file)!
}

/** The file appears whole or not at all. */
function place(file: string, secret: Buffer): void {
  const draft = `${file}.${process.pid}-${randomBytes(4).toString('hex')}`
  writeFileSync(draft, `${secret.toString('hex')}\n`, { mode: 0o600, flag: 'wx', flush: true })
  try {
    linkSync(draft, file) // unlike a rename it never replaces what another process has put there
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(draft, { force: true })
  }
}

/** As `ownSecret`, but one that is drawn here goes away again unless it is kept. */
export function drawSecret(file: string): Disposable & { keep(): void } {
  let isKept = readSecret(file) !== null
  ownSecret(file)
  return {
    keep: () => void (isKept = true),
    [Symbol.dispose]: () => {
      if (!isKept) rmSync(file, { force: true })
    },
  }
}

/** Writes a secret that somebody still has down again where its file is gone; false where one is there. */
export function putBack(file: string, secret: Buffer): boolean {
  if (lstatSync(file, { throwIfNoEntry: false })) return false
  place(file, secret)
  return true
}

/** The secret in `file`, or null where there is none. Faults: `secret-unsafe` when others could have read or put it there. */
export function readSecret(file: string): Buffer | null {
  const found = lstatSync(file, { throwIfNoEntry: false })
  if (!found) return null
  const unsafe = (what: string, hint: string) => new Fault('secret-unsafe', `${file} ${what}`, { hint })
  if (!found.isFile()) throw unsafe('is not a plain file', 'move it away')
  if (found.uid !== process.getuid?.()) throw unsafe(`belongs to user ${found.uid}, not to you`, 'start as that user')
  if ((found.mode & 0o077) !== 0) throw unsafe('can be read by other users', `chmod 600 ${file}`)
  const text = readFileSync(file, 'utf8').trim()
  if (!/^[0-9a-f]{64}$/.test(text)) throw unsafe('is damaged', 'put it back from where you keep it')
  return Buffer.from(text, 'hex')
}
