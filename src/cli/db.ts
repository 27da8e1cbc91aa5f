/** db: the database itself. migrate, check, export-schema, and a shell that only looks. */
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { isFault } from '../host/fault.ts'
import { makeFolders } from '../host/path.ts'
import type { Looked } from '../store/check.ts'
import { openDatabase } from '../store/database.ts'
import { answer, withDatabase, type Act, type Context } from './context.ts'
import { exitCode } from './exit-code.ts'
import { plural } from '../core/quantity.ts'
import { table } from './format.ts'

export const db: Act = (context, said) => {
  switch (said.args[0]) {
    case 'migrate':
      return migrateDatabase(context)
    case 'check':
      return checkTheDatabase(context)
    case 'export-schema':
      return printSchema(context)
    default:
      return openTheShell(context, said.text('command'))
  }
}

/** Opening it is what migrates it; this verb says what came of it, and makes the database where there is none. */
async function migrateDatabase(context: Context): Promise<number> {
  await makeFolders(context.paths)
  const database = openDatabase(context.paths.database)
  const { from, to, backup } = database.schema!
  database.close()
  const path = context.paths.database
  const text =
    from === to
      ? `${path} has schema ${to} already.`
      : from === 0
        ? `${path} was made, with schema ${to}.`
        : `${path} went from schema ${from} to ${to}.${backup ? `\nAs it was before: ${backup}` : ''}`
  return answer(context, { path, from, to, backup }, text)
}

async function checkTheDatabase(context: Context): Promise<number | Refusal> {
  const { checkDatabase } = await import('../store/check.ts')
  const looked = await withDatabase(context, checkDatabase).catch(notOpened)
  if (isRefusal(looked)) return looked
  const ok = looked.every(({ problems }) => problems.length === 0)
  const lines = looked.flatMap(({ what, problems }) => [
    `${what.padEnd(12)}${problems.length === 0 ? 'whole' : plural(problems.length, 'problem')}`,
    ...problems.slice(0, 20).map((each) => `  ${each}`),
  ])
  if (!ok) lines.push('To go back to a backup: tri-agent backup list, tri-agent restore latest')
  answer(context, { ok, looked }, lines.join('\n'))
  return ok ? exitCode.done : exitCode.refused
}

/** One that is so damaged that it does not even open. */
function notOpened(error: unknown): Looked[] {
  if (!isFault(error, 'database-damaged')) throw error
  return [{ what: 'pages', problems: [error.message] }]
}

async function printSchema(context: Context): Promise<number> {
  const { exportSchema } = await import('../store/migrate.ts')
  const sql = exportSchema()
  return answer(context, { sql }, sql)
}

async function openTheShell(context: Context, command: string | undefined): Promise<number | Refusal> {
  const { database: path } = context.paths
  if (!existsSync(path)) return refuse('not-initialised', `there is no database at ${path}`, 'tri-agent init')
  const { openShell } = await import('../store/shell.ts')
  const shell = openShell(path)
  const say = (sql: string): Refusal | null => {
    for (const each of shell.execute(sql)) {
      if (isRefusal(each)) return each
      const { columns, rows } = each
      const named = () => rows.map((row) => Object.fromEntries(row.map((value, index) => [columns[index], value])))
      const cells = () => rows.map((row) => row.map((value) => (value === null ? 'null' : String(value))))
      if (columns.length > 0) answer(context, context.json ? named() : [], table(columns, cells(), context.columns))
    }
    return null
  }
  try {
    if (command !== undefined) return say(command) ?? exitCode.done
    let text = ''
    let failed = false
    const lines = createInterface({ input: process.stdin })
    if (context.isTerminal) context.note('Only looks. Statements end with ; and Ctrl-D leaves.\n')
    const prompt = () => context.isTerminal && context.note(text === '' ? 'sql> ' : '  -> ')
    prompt()
    const execute = () => {
      const refused = say(text)
      text = ''
      if (!refused) return
      failed = true
      context.note(`${refused.why}\n`)
    }
    for await (const line of lines) {
      text += `${line}\n`
      if (line.trimEnd().endsWith(';')) execute()
      prompt()
    }
    if (text.trim() !== '') execute()
    return failed ? exitCode.refused : exitCode.done
  } finally {
    shell.close()
  }
}
