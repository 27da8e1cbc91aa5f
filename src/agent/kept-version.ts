/**
 * The versions that programs told of themselves, kept so that a start asks one only when it is another file than it was: some take seconds to answer.
 * Only what was told is kept, by the file's identity and the words it is started with.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { identityOf } from '../host/file-system.ts'

export type AskVersion = (argv: readonly string[]) => Promise<string | null>

/** `ask`, asked once for each program as it is; what it told rests in `file`. */
export function keptVersions(file: string, ask: AskVersion): AskVersion {
  return async (argv) => {
    const mark = JSON.stringify([identityOf(argv[0] ?? ''), ...argv.slice(1)])
    const known = read(file)[mark]
    if (known !== undefined) return known
    const version = await ask(argv)
    if (version === null) return null
    const all = { ...read(file), [mark]: version } // read anew: another family was asked meanwhile
    const there = Object.entries(all).filter(([each]) => isThere(each))
    writeFileSync(`${file}.part`, JSON.stringify(Object.fromEntries(there)), { mode: 0o600 })
    renameSync(`${file}.part`, file)
    return version
  }
}

/** Programs that were changed or removed are forgotten. */
function isThere(mark: string): boolean {
  const [identity] = JSON.parse(mark) as [string | null]
  return identity !== null && identityOf(identity.replace(/(?: \d+){5}$/, '')) === identity
}

function read(file: string): Record<string, string> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>
  } catch {
    return {} // none was kept yet, or it was cut short: then each is asked again
  }
}
