/** How init changes a file: a new one whole, one that is there only after its difference was shown and somebody agreed. A link stays a link. */
import { chmod, readFile, realpath, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Addition } from '../host/yaml-edit.ts'
import type { Context } from './context.ts'
import { lineDiff } from './line-diff.ts'

export type Written = { path: string; action: 'written' | 'changed' | 'kept' | 'unchanged' }

type Wanted = {
  /** The text of a new file. */
  fresh: string
  /** What a file that is there may lack. */
  additions: readonly Addition[]
  mode: number
  /** Put `fresh` in place of what is there. */
  anew?: boolean
}

/** Writes a file that is not there; changes one that is, after showing how and being told to. */
export async function bring(
  context: Context,
  how: { yes: boolean; asks: boolean },
  path: string,
  { fresh, additions, mode, anew = false }: Wanted,
): Promise<Written> {
  const present = await readText(path)
  if (present === null) {
    await writeWhole(path, fresh, mode)
    return { path, action: 'written' }
  }
  const { addMissing } = await import('../host/yaml-edit.ts')
  const wanted = anew ? fresh : addMissing(present, additions)
  if (wanted === present) return { path, action: 'unchanged' }
  const lines = lineDiff(present, wanted).map((line) => `  ${line}\n`)
  context.note(`${path} ${anew ? 'would be replaced' : 'lacks something'}; this would be changed:\n${lines.join('')}`)
  if (!how.yes && !(how.asks && (await (await import('./init-ask.ts')).agrees(`Change ${path}?`)))) {
    if (!how.asks) context.note('Left as it is; --yes changes it.\n')
    return { path, action: 'kept' }
  }
  await writeWhole(path, wanted, null)
  return { path, action: 'changed' }
}

/** The shapes of both files beside the operator's, for editors; written anew only when they changed. */
export async function writeSchemas(folder: string): Promise<void> {
  const { jsonSchema, schemaNames } = await import('../host/config-json.ts')
  for (const name of schemaNames) {
    const path = join(folder, `${name}.schema.json`)
    const text = `${JSON.stringify(jsonSchema(name), null, 2)}\n`
    if ((await readText(path)) !== text) await writeWhole(path, text, 0o600)
  }
}

export async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Whole or not at all: a new file beside it is renamed over it. `mode` null keeps the mode; a link to the file stays a link. */
async function writeWhole(path: string, text: string, mode: number | null): Promise<void> {
  const target = mode === null ? await realpath(path) : path
  const beside = `${target}.new`
  await writeFile(beside, text, { mode: 0o600 })
  await chmod(beside, mode ?? (await stat(target)).mode & 0o777)
  await rename(beside, target)
}
