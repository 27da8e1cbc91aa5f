/**
 * What is true only while a daemon lives: its own row, leases, the process table, cached gate results. None of it is a projection.
 * Every write of a worker goes through `holds` or `releaseLease` in its own transaction: the fence.
 */
import type { Circumstances } from '../core/waiting.ts'
import type { GateReport } from '../core/gate.ts'
import type { Reader, Tx } from './database.ts'

export type DaemonRow = { epoch: number; pid: number; boot_id: string; start_time: number | null; started_at: number }

/** The daemon that last took this database, alive or not. */
export const daemonRow = (reader: Reader): Promise<DaemonRow | undefined> =>
  reader.get<DaemonRow>('select epoch, pid, boot_id, start_time, started_at from daemon where one = 1')

/** Takes the database for a new daemon; answers its epoch. All leases and keys of earlier epochs are void from here on. */
export async function takeEpoch(tx: Tx, daemon: Omit<DaemonRow, 'epoch'>): Promise<number> {
  const row = await tx.get<{ epoch: number }>(
    `insert into daemon (one, epoch, pid, boot_id, start_time, started_at) values (1, 1, :pid, :boot_id, :start_time, :started_at)
     on conflict (one) do update set epoch = epoch + 1, pid = :pid, boot_id = :boot_id, start_time = :start_time, started_at = :started_at,
       circumstances = null
     returning epoch`,
    daemon,
  )
  return row!.epoch
}

/** Writes down what keeps tasks from starting. */
export const keepCircumstances = (tx: Tx, circumstances: Circumstances): Promise<{ changes: number }> =>
  tx.run('update daemon set circumstances = :circumstances where one = 1', {
    circumstances: JSON.stringify(circumstances),
  })

/** What the daemon last wrote down of that; null before it looked. */
export async function readCircumstances(reader: Reader): Promise<Circumstances | null> {
  const row = await reader.get<{ circumstances: string | null }>('select circumstances from daemon where one = 1')
  return row?.circumstances ? (JSON.parse(row.circumstances) as Circumstances) : null
}

export type Lease = { attempt: string; task: string; token: number; epoch: number }
type LeaseRow = Lease & { state: 'offered' | 'claimed'; expires_at: number }

/** Puts an admitted attempt up for claiming. `monoMs` are monotonic milliseconds of this epoch. */
export async function offerLease(tx: Tx, lease: Lease, monoMs: number, leaseMs: number): Promise<void> {
  await tx.run(
    `insert into lease (attempt, task, token, epoch, state, expires_at, beat_at, active_at)
     values (:attempt, :task, :token, :epoch, 'offered', :expires, :mono, :mono)`,
    { ...lease, expires: monoMs + leaseMs, mono: monoMs },
  )
}

/** Claims what this epoch has on offer, at most `most`, in the order of their ids: two statements, however many they are. */
export async function claimLeases(
  tx: Tx,
  { epoch, monoMs, leaseMs, most = Number.MAX_SAFE_INTEGER }: Claiming,
): Promise<Lease[]> {
  const leases = await tx.all<Lease>(
    `select attempt, task, token, epoch from lease where state = 'offered' and epoch = :epoch order by attempt limit :most + 0`,
    { epoch, most },
  )
  const last = leases.at(-1)?.attempt
  if (last === undefined) return []
  await tx.run(
    `update lease set state = 'claimed', expires_at = :expires, beat_at = :mono, active_at = :mono
     where state = 'offered' and epoch = :epoch and attempt <= :last`,
    { epoch, last, expires: monoMs + leaseMs, mono: monoMs },
  )
  return leases
}

type Claiming = { epoch: number; monoMs: number; leaseMs: number; most?: number }

/** Extends a lease; false when it is no longer this holder's. */
export async function beatLease(
  tx: Tx,
  lease: Lease,
  monoMs: number,
  leaseMs: number,
  activeAt: number,
): Promise<boolean> {
  const { changes } = await tx.run(
    `update lease set expires_at = :expires, beat_at = :mono, active_at = :active
     where attempt = :attempt and token = :token and epoch = :epoch and state = 'claimed'`,
    {
      attempt: lease.attempt,
      token: lease.token,
      epoch: lease.epoch,
      expires: monoMs + leaseMs,
      mono: monoMs,
      active: activeAt,
    },
  )
  return changes === 1
}

/** Gives every lease of this epoch until `expiresAt`, monotonic milliseconds; none is shortened. */
export async function extendLeases(tx: Tx, epoch: number, expiresAt: number): Promise<void> {
  await tx.run('update lease set expires_at = max(expires_at, :expiresAt) where epoch = :epoch', { expiresAt, epoch })
}

/** Does this holder still hold it? Asked inside every transaction of a worker. */
export async function holds(tx: Reader, { attempt, token, epoch }: Lease): Promise<boolean> {
  const row = await tx.get<{ n: number }>(
    `select count(*) as n from lease where attempt = :attempt and token = :token and epoch = :epoch and state = 'claimed'`,
    { attempt, token, epoch },
  )
  return row!.n === 1
}

/** Gives a lease back; false when it was no longer this holder's, and then nothing of the holder's may be written. */
export async function releaseLease(tx: Tx, { attempt, token, epoch }: Lease): Promise<boolean> {
  const { changes } = await tx.run('delete from lease where attempt = :attempt and token = :token and epoch = :epoch', {
    attempt,
    token,
    epoch,
  })
  return changes === 1
}

/**
 * Leases of an earlier epoch, and those of this one that ran out; at most `limit`, of attempts that come `after` one. Who sweeps goes on from where
 * it came to, or the first ones that cannot be given back would keep all others from it.
 */
export const deadLeases = (
  reader: Reader,
  epoch: number,
  monoMs: number,
  limit: number,
  after = '',
): Promise<LeaseRow[]> =>
  reader.all<LeaseRow>(
    `select attempt, task, token, epoch, state, expires_at from lease
     where attempt > :after and (epoch <> :epoch or expires_at < :mono) order by attempt limit :limit`,
    { epoch, mono: monoMs, after, limit },
  )

/** Every lease there is, of whatever epoch. */
export const allLeases = (reader: Reader): Promise<Lease[]> =>
  reader.all<Lease>('select attempt, task, token, epoch from lease')

/** Attempts that have a lease, of whatever epoch. */
export const leasedAttempts = async (reader: Reader): Promise<Set<string>> =>
  new Set((await reader.all<{ attempt: string }>('select attempt from lease')).map(({ attempt }) => attempt))

export type ProcessRow = {
  attempt: string
  pid: number
  boot_id: string
  start_time: number | null
  area: string
  started_at: number
}

/** Writes down a process tree before it can do harm: nothing outside this table is ever killed. */
export async function recordProcess(tx: Tx, row: ProcessRow): Promise<void> {
  await tx.run(
    `insert into process (attempt, pid, boot_id, start_time, area, started_at)
     values (:attempt, :pid, :boot_id, :start_time, :area, :started_at)
     on conflict (attempt) do update set pid = :pid, start_time = :start_time, area = :area, started_at = :started_at`,
    row,
  )
}

/** Trees that outlived their attempts and were not ended yet. */
export const outlived = (reader: Reader): Promise<ProcessRow[]> =>
  reader.all<ProcessRow>('select * from process where attempt not in (select attempt from lease)')

/** Strikes out a tree that is proven dead. */
export async function forgetProcess(tx: Tx, attempt: string): Promise<void> {
  await tx.run('delete from process where attempt = :attempt', { attempt })
}

export const recordedProcesses = (reader: Reader): Promise<ProcessRow[]> =>
  reader.all<ProcessRow>('select * from process')

/** A gate result that may be reused, or null: a green one always, a red one no older than `redSince` (epoch milliseconds). */
export async function gateResult(reader: Reader, tree: string, key: string, redSince = 0): Promise<GateReport | null> {
  const row = await reader.get<{ report: string; at: number }>(
    'select report, at from gate_result where tree = :tree and key = :key',
    { tree, key },
  )
  if (!row) return null
  const report = JSON.parse(row.report) as GateReport
  const isGreen = report.results.every(({ state }) => state === 'green')
  return isGreen || row.at >= redSince ? { ...report, reused: true } : null
}

/** The newest gate results. */
export const lastGateResults = async (reader: Reader, limit: number): Promise<GateReport[]> =>
  (await reader.all<{ report: string }>('select report from gate_result order by at desc limit :limit', { limit })).map(
    ({ report }) => JSON.parse(report) as GateReport,
  )

/** Since when the process of an attempt is there, or null: it has none now. */
export async function processSince(reader: Reader, attempt: string): Promise<number | null> {
  const row = await reader.get<{ at: number }>('select started_at as at from process where attempt = :attempt', {
    attempt,
  })
  return row?.at ?? null
}

export async function keepGateResult(tx: Tx, report: GateReport, at: number): Promise<void> {
  await tx.run(
    `insert into gate_result (tree, key, report, at) values (:tree, :key, :report, :at)
     on conflict (tree, key) do update set report = :report, at = :at`,
    { tree: report.tree, key: report.key, report: JSON.stringify(report), at },
  )
}
