/** The few things `locate` asks of the machine: which one it is, and what files it has. Never writes, never follows what it was not asked to. */
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { arch, platform } from 'node:os'

export type Machine = {
  /** As in the names of npm packages: linux, darwin; x64, arm64. */
  os: string
  cpu: string
  hasAvx2(): boolean
  isFile(path: string): boolean
  /** A file that may be executed. */
  isProgram(path: string): boolean
  /** With every link resolved; null: there is nothing. */
  realPath(path: string): string | null
  /** The text of a file, or its first `bytes`; null: cannot be read. */
  readText(path: string, bytes?: number): string | null
  /** Names in a folder, sorted; none where there is no folder. */
  list(path: string): string[]
}

/** The machine we are on. */
export const thisMachine = (): Machine => ({
  os: platform(),
  cpu: arch(),
  hasAvx2: () =>
    platform() !== 'linux' ||
    arch() !== 'x64' ||
    /\bavx2\b/.test(tryTo(() => readFileSync('/proc/cpuinfo', 'utf8')) ?? ''),
  isFile: (path) => tryTo(() => statSync(path).isFile()) ?? false,
  isProgram: (path) =>
    tryTo(() => {
      accessSync(path, constants.X_OK)
      return statSync(path).isFile()
    }) ?? false,
  realPath: (path) => tryTo(() => realpathSync(path)),
  readText: (path, bytes) => tryTo(() => (bytes === undefined ? readFileSync(path, 'utf8') : head(path, bytes))),
  list: (path) => tryTo(() => readdirSync(path).toSorted()) ?? [],
})

function head(path: string, bytes: number): string {
  const file = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(bytes)
    return buffer.toString('utf8', 0, readSync(file, buffer, 0, bytes, 0))
  } finally {
    closeSync(file)
  }
}

/** What is not there, or not for us to read, is an answer here: null. */
function tryTo<T>(look: () => T): T | null {
  try {
    return look()
  } catch {
    return null
  }
}
