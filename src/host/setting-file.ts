/** Writing one value into the operator's settings file, which a person wrote: comments and order stay. What is then in it is checked before it is kept. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import { loadConfig } from './config.ts'
import { setKey } from './yaml-edit.ts'

/** Sets `path` to `value`; makes the file where there is none. Refuses what `loadConfig` does of the outcome, and then nothing is changed. */
export async function writeSetting(file: string, path: readonly string[], value: unknown): Promise<true | Refusal> {
  const before = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const draft = `${file}.${process.pid}.draft`
  await writeFile(draft, setKey(before, path, value), { mode: 0o600 })
  const loaded = await loadConfig({ file: draft, env: {} })
  if (isRefusal(loaded)) {
    await rm(draft)
    return { ...loaded, why: loaded.why.replaceAll(draft, file) }
  }
  await rename(draft, file)
  return true
}
