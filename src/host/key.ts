/**
 * A provider's real key, read where the operator said it is. Only the gateway asks for one. It never shows a key, nor takes one from a file that
 * others can read.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import type { KeySource } from '../core/setting.ts'
import { readStored, type KeyPorts } from './key-store.ts'

/** Where a key is, for people. */
export const showKeySource = (source: KeySource): string =>
  'env' in source
    ? `env ${source.env}`
    : 'file' in source
      ? `file ${source.file}`
      : 'stored' in source
        ? `stored as ${source.stored}`
        : '(written in the file, hidden)'

/** The key a source names, for the gateway alone. Refuses: `key-missing`, `config-unsafe` for a key file others can read, `key-command`. */
export async function readKey(source: KeySource, ports: KeyPorts): Promise<{ key: string } | Refusal> {
  if ('stored' in source) return readStored(ports, source.stored)
  const found =
    'env' in source ? (ports.env[source.env] ?? '') : 'value' in source ? source.value : await readKeyFile(source.file)
  if (isRefusal(found)) return found
  const key = found.trim()
  const name = showKeySource(source)
  if (key === '') return refuse('key-missing', `no key is there: ${name}`, 'set it, or keep one: tri-agent keys set')
  if (!/^[\x21-\x7e]+$/.test(key))
    return refuse('key-missing', `what is there is no key: ${name}`, 'a key is one word without blanks')
  return { key }
}

async function readKeyFile(file: string): Promise<string | Refusal> {
  let handle: FileHandle
  try {
    handle = await open(file, 'r')
  } catch (error) {
    return refuse('key-missing', `key file ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  try {
    const { mode, size } = await handle.stat()
    if ((mode & 0o077) !== 0)
      return refuse('config-unsafe', `key file ${file} can be read by others`, `chmod 600 ${file}`)
    if (size > 64 * 1024) return refuse('key-missing', `key file ${file} is too large to be a key`)
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}
