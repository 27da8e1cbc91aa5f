/** import: what the ancestor of this program left in files, found below the paths that are named. Says of each file what became of it. */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { readFile, readdir, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { importOld, nothingToImport, type Imported, type OldFile } from '../command/import.ts'
import { oldId } from '../core/ancestor.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { nudge } from '../host/nudge.ts'
import { findRepository } from './repository.ts'
import { answer, commandPorts, withDatabase, type Act } from './context.ts'
import { plural } from '../core/quantity.ts'
import { table } from './format.ts'

/** Above this nothing of the ancestor's is: its own limit of a task file. */
const largestFile = 1024 * 1024

/** Folders of the old queue whose tasks are over, and those whose tasks were done. */
const isOver = (path: string): boolean => /(?:^|\/)(?:completed|done|approved|rejected|failed|archive)\//.test(path)
const isDone = (path: string): boolean => /(?:^|\/)(?:completed|done|approved)\//.test(path)

export const importFiles: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const repo = await database.read((reader) => findRepository(reader, context, said.text('repo')))
    if (isRefusal(repo)) return repo
    const found = await findFiles(said.args.map((path) => resolve(context.cwd, path)))
    if (isRefusal(found)) return found
    const { files, left, done } = found
    if (files.length + left.length === 0) return nothingToImport(said.args)
    const onlyLook = said.flag('dry-run') === true
    const imported = [
      ...(await importOld(commandPorts(context, database), { repo: repo.id, files, done, onlyLook })),
      ...left,
    ]
    if (!onlyLook) await nudge(context.paths.socket)
    const count = (how: Imported['how']) => imported.filter((each) => each.how === how).length
    const verdict = onlyLook
      ? `Would take ${plural(count('would'), 'file')}, ${count('there')} there already, ${count('left')} left out.`
      : `Took ${plural(count('taken'), 'file')}, ${count('there')} there already, ${count('left')} left out.`
    const rows = imported.map(({ how, what, path }) => [how, basename(path), what])
    return answer(context, { imported }, `${table(['', 'file', ''], rows, context.columns)}\n${verdict}`)
  })

type Found = { files: OldFile[]; left: Imported[]; done: string[] }

async function findFiles(paths: readonly string[]): Promise<Found | Refusal> {
  const found: Found = { files: [], left: [], done: [] }
  for (const path of paths) {
    const there = await stat(path).catch(() => null)
    if (there === null) return refuse('no-such-file', `there is nothing at ${path}`)
    const below = there.isDirectory()
      ? (await readdir(path, { recursive: true, withFileTypes: true }))
          .filter((each) => each.isFile() && /^(?:preflight\.json|health\.json|[A-Za-z]+_.+\.md)$/.test(each.name))
          .map((each) => join(each.parentPath, each.name))
      : [path]
    for (const file of below.toSorted()) await readOne(file, path, found)
  }
  return found
}

async function readOne(path: string, root: string, { files, left, done }: Found): Promise<void> {
  const below = path.slice(root.length)
  const id = oldId(basename(path))
  if (id !== null && isDone(below)) done.push(id)
  if (isOver(below)) return void left.push({ path, how: 'left', what: 'it was over there' })
  if ((await stat(path)).size > largestFile) return void left.push({ path, how: 'left', what: 'it is too large' })
  const bytes = await readFile(path)
  if (!isUtf8(bytes)) return void left.push({ path, how: 'left', what: 'it is not UTF-8 text' })
  files.push({
    path,
    name: basename(path),
    text: bytes.toString('utf8'),
    sha256: createHash('sha256').update(bytes).digest('hex'),
  })
}
