/** SQL a person types, on a connection that cannot write: not to the database, and not to another file (attach, vacuum into). */
import { constants, DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { refuse, type Refusal } from '../core/refusal.ts'
import { refuseUnfit } from './fit.ts'

type Value = string | number | null
export type Answered = { columns: string[]; rows: Value[][] }

export type Shell = {
  /** Executes every statement of a text in order; answers up to the first one that is refused. */
  execute(sql: string): (Answered | Refusal)[]
  close(): void
}

export function openShell(path: string): Shell {
  refuseUnfit(path)
  const db = new DatabaseSync(path, { readOnly: true, timeout: 5000 })
  db.setAuthorizer((action) => (action === constants.SQLITE_ATTACH ? constants.SQLITE_DENY : constants.SQLITE_OK))
  return {
    execute(sql) {
      const answers: (Answered | Refusal)[] = []
      for (let rest = sql.trim(); rest !== '';) {
        const answer = executeFirst(db, rest)
        answers.push(answer.said)
        if ('refused' in answer.said) break
        rest = rest.slice(answer.taken).trim()
      }
      return answers
    },
    close: () => db.close(),
  }
}

/** The first statement of a text, and how much of the text it is. */
function executeFirst(db: DatabaseSync, text: string): { said: Answered | Refusal; taken: number } {
  try {
    const statement = db.prepare(text)
    statement.setReturnArrays(true)
    statement.setReadBigInts(true)
    const columns = statement.columns().map(({ name }) => name)
    const rows = (statement.all() as unknown as SQLOutputValue[][]).map((row) => row.map(plain))
    return { said: { columns, rows }, taken: statement.sourceSQL.length }
  } catch (error) {
    const why = (error as Error).message
    const isWrite = /readonly database|authoriz/.test(why)
    const said = isWrite
      ? refuse('read-only', `${why}: the shell only looks`, 'what changes a task is a verb: tri-agent --help')
      : refuse('bad-sql', why)
    return { said, taken: 0 }
  }
}

/** As text or number: numbers too big to be exact keep their digits, bytes are shown in hex. */
const plain = (value: SQLOutputValue): Value =>
  value instanceof Uint8Array
    ? `x'${Buffer.from(value).toString('hex')}'`
    : typeof value !== 'bigint'
      ? value
      : Number.isSafeInteger(Number(value))
        ? Number(value)
        : `${value}`
