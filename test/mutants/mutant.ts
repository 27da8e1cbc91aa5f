/**
 * The mutants, room by room: what is wrong, where, and the test file that must notice. The text to find must occur exactly once, so a mutant cannot
 * rot unseen: when the code changes, it is written anew or its law is found a new place.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export type Mutant = {
  name: string
  file: string
  find: string
  put: string
  test: string
}

/** The text of a file with the mutant in it, or why there is none. */
export function mutate(root: string, { file, find, put }: Mutant): { text: string } | { wrong: string } {
  const before = readFileSync(join(root, file), 'utf8')
  const times = before.split(find).length - 1
  if (times !== 1) return { wrong: `its text occurs ${times} times in ${file}` }
  const text = before.replace(find, () => put)
  if (text === before) return { wrong: 'it changes nothing' }
  return { text }
}

const of = (
  file: string,
  test: string,
  list: Readonly<Record<string, readonly [find: string, put: string]>>,
): Mutant[] => Object.entries(list).map(([name, [find, put]]) => ({ name, file, find, put, test }))

export const mutants: readonly Mutant[] = [
  ...of('src/store/database.ts', 'src/store/database.test.ts', {
    'deferred begin': ["async () => void control(db, 'begin immediate')", "async () => void control(db, 'begin')"],
    'acknowledged before the commit': [
      "    control(db, 'commit')\n  } catch",
      "    for (const answer of answers) answer()\n    control(db, 'commit')\n  } catch",
    ],
    'a refusal in a batch is committed': ["db.exec('rollback to caller; release caller')", "db.exec('release caller')"],
    'a foreign await in a transaction goes unseen': ['await watch.over(() => body(tx))', 'await body(tx)'],
    'a statement after the end of its transaction is executed': ['if (over) throw', 'if (over && lost !== null) throw'],
    'nobody hears of a commit': ['    made.listeners.push(...heard)\n', ''],
    'a listener hears of what was undone': ['void heard.push(listener)', 'void made.listeners.push(listener)'],
  }),
  ...of('src/store/connect.ts', 'src/store/database.test.ts', {
    'synchronous = normal': ['pragma synchronous = full', 'pragma synchronous = normal'],
    'a network file system is accepted': ['if (network !== null)', "if (network === 'nothing')"],
  }),
  ...of('src/store/known.ts', 'src/store/known.test.ts', {
    'what another process wrote is written over': ['if (version !== known.version) forgetAll(known)', ''],
  }),
  ...of('src/store/redo.ts', 'src/store/batch.test.ts', {
    'a refusal takes with it what others wrote': ['bound.prepared.statement.all(...bound.values)', 'continue'],
  }),
  ...of('src/store/seal.ts', 'src/store/seal.test.ts', {
    'seals are not chained': ['before?.mac ?? firstLink.begun', 'firstLink.begun'],
    'any key that lies there seals on': ['before.key_id !== key.id && !adopts(rows[0]!, key)', 'false'],
    'the seal leaves out what the event says': ['${stream}${type}${actor}${body}\\n`', '${stream}${type}${actor}\\n`'],
    'a log that lost events is appended to': ['before.last_seq >= first_seq', 'before.last_seq < 0'],
  }),
  ...of('src/store/database.ts', 'src/store/seal.test.ts', {
    'a key that is gone is drawn anew': ['isSealed(db) ? readSecret(file) : ownSecret(file)', 'ownSecret(file)'],
    'the anchor is not written': ['owed = !tryAnchor(path, anchorOf(seal))', 'owed = false'],
  }),
  ...of('src/store/verify-log.ts', 'test/adopt.test.ts', {
    'what was adopted may change': ['(await nameOfLog(reader, adoption.last)) !== adoption.sha256', 'false'],
  }),
  ...of('src/store/verify-log.ts', 'src/store/seal.test.ts', {
    'anchors are not looked up': [
      '(await withoutSeal(reader, anchors)).filter(',
      '(await withoutSeal(reader, [])).filter(',
    ],
  }),
  ...of('src/store/verify-log.ts', 'src/store/seal.test.ts', {
    'a start sees no damage': ["return damage.find(({ kind }) => kind !== 'other-key') ?? null", 'return null'],
  }),
  ...of('src/store/restore.ts', 'src/daemon/restore.test.ts', {
    'an older copy takes back what was spent': ['lost === null || knowsAllMoney(db)', 'lost === null || true'],
    'a backup is restored without its WAL': [
      '?.size ?? 0) === 0)\n    await copyFile',
      '?.size ?? 0) >= 0)\n    await copyFile',
    ],
  }),
  ...of('src/store/database.ts', 'src/store/fit.test.ts', {
    'who writes into a file that is gone is told it is done': ['if (!isThere()) throw gone(path)', ''],
  }),
  ...of('src/store/migrations/0001-log.sql', 'src/store/constraint.test.ts', {
    'two events of one version': ['unique (stream, version)', 'check (version > 0)'],
  }),
  ...of('src/store/migrations/0003-task.sql', 'src/store/constraint.test.ts', {
    'a vote on the own work can be stored': ['check (family <> author)', 'check (family is not null)'],
  }),
  ...of('src/store/lease.ts', 'src/store/lease.test.ts', {
    'a result of a stale holder counts: no fence': [
      'delete from lease where attempt = :attempt and token = :token and epoch = :epoch',
      'delete from lease where attempt = :attempt and (token = :token or epoch = :epoch)',
    ],
    'one offer is claimed twice': ["update lease set state = 'claimed'", "update lease set state = 'offered'"],
    'more is marked as claimed than is handed out': ['and attempt <= :last', 'and (attempt <= :last or true)'],
    'an offer of a dead daemon is claimed': [
      "where state = 'offered' and epoch = :epoch order by",
      "where state = 'offered' and (epoch = :epoch or true) order by",
    ],
    'the sweep is unbounded': ['order by attempt limit :limit', 'order by attempt limit 100 * :limit'],
    'leases of a dead daemon live on': ['and (epoch <> :epoch or expires_at', 'and (:epoch > 0 and expires_at'],
    'an epoch is given twice': ['do update set epoch = epoch + 1', 'do update set epoch = epoch'],
  }),
  ...of('src/engine/embedded.ts', 'src/engine/embedded.test.ts', {
    'leases on the wall clock': [
      'beatLease(tx, lease, world.clock.mono(), leaseMs, activeAt)',
      'beatLease(tx, lease, world.clock.now(), leaseMs, activeAt)',
    ],
    'a holder is not told that its lease is lost': ["if (!alive) stop.abort('lost')", ''],
    'nobody is woken by an offer': ['sleepers.forEach((wake) => wake()) //', '//'],
  }),
  ...of('src/daemon/rescuer.ts', 'src/daemon/rescuer.test.ts', {
    'a lease is given back before its process is proven dead': [
      'if (!(await daemon.bury(row))) return false',
      'await daemon.bury(row)',
    ],
  }),
  ...of('src/daemon/absence.ts', 'src/daemon/absence.test.ts', {
    'after a suspend the fleet is reaped': ['await extendLeases(tx, epoch, clock.mono() + leaseMs)', ''],
  }),
  ...of('src/host/process-tree.ts', 'src/host/proc.test.ts', {
    'a tree is dead when its leader is': [
      '(!isStranger && isInGroup(each, pid, startTime))',
      '(isLeader && each === pid)',
    ],
  }),
  ...of('src/core/lane.ts', 'src/core/lane.test.ts', {
    'nothing ages: background work starves': [
      '- Math.floor(Math.max(0, waitedMs) / stepMs)',
      '- Math.floor(Math.max(0, 0 * waitedMs) / stepMs)',
    ],
  }),
  ...of('src/core/evolve.ts', 'src/core/lane.test.ts', {
    'ageing renames the lane': [
      'return { token: event.token, running:',
      "return { lane: 'critical', token: event.token, running:",
    ],
  }),
  ...of('src/core/admission.ts', 'src/core/admission.test.ts', {
    'a held task starts': ['  task.held === null &&\n  pauseOver(', '  pauseOver('],
    'dependencies are ignored': ['unmet(task, snapshot).length === 0', 'unmet(task, snapshot).length >= 0'],
    'more start than there are slots': ['if (takesSlot && !take(free, wanted.role, snapshot)) continue', ''],
    'two landings of one repository at once': ["if (wanted.step === 'land' && landing.has(task.repo)) continue", ''],
    'a landing begins beside one that is still dying': ['new Set(snapshot.dyingLandings)', 'new Set<string>()'],
    'work starts while nothing may': ['if (snapshot.closed !== null) return []', ''],
  }),
  ...of('src/core/admission.ts', 'src/core/fairness.test.ts', {
    'a paused lane starts': ['  pauseOver(snapshot.pauses, task) === null &&\n', ''],
  }),
  ...of('src/core/retry.ts', 'src/core/retry.test.ts', {
    'failures are tried again for ever': ['if (signatures.length >= policy.attempts) return false', ''],
  }),
  ...of('src/core/review.ts', 'src/core/review.test.ts', {
    'a vote by the own family is accepted': [
      'if (vote.family === round.author) return refuse(',
      "if (vote.family === '') return refuse(",
    ],
    'a vote outlives its commit': ['if (vote.commit !== round.commit)', "if (vote.commit === '')"],
    'a family confirms its own finding': ['if (check.by === finding.by) return', "if (check.by === '') return"],
    'an undecided finding is passed over': [
      'if (undecided.length > 0 && !round.policy.person)',
      'if (undecided.length > 9 && !round.policy.person)',
    ],
    'one reviewer is enough': ['const wanted = Math.max(2, ', 'const wanted = Math.max(1, '],
  }),
  ...of('src/core/flow.ts', 'src/daemon/lander.test.ts', {
    'a commit lands that nobody approved': ['approval.commit === candidate?.commit', 'candidate !== undefined'],
  }),
  ...of('src/daemon/lander.ts', 'src/daemon/lander.test.ts', {
    'a branch moves before its intent is written': [
      "await append(tx, { at: world.clock.now(), actor: 'daemon', stream, events: [event] })\n    return true",
      'return event !== null && stream !== null',
    ],
  }),
  ...of('src/git/landing.ts', 'src/git/landing.test.ts', {
    'landing without compare-and-set': [
      '`refs/heads/${target}`, commit, expected ?? none]',
      '`refs/heads/${target}`, commit]',
    ],
    'a branch that is checked out is moved': ['if (busy !== null) return busy', ''],
    'a branch moves backwards': [
      'if (code === 1) throw new Error(`${commit} does not continue',
      'if (code === 9) throw new Error(`${commit} does not continue',
    ],
  }),
  ...of('src/git/command.ts', 'src/git/harmless.test.ts', {
    "the user's hooks are started": ["  'core.hooksPath=/dev/null',\n", ''],
  }),
  ...of('src/git/policy.ts', 'src/git/policy.test.ts', {
    'a name that means .git comes in': ['if (meansDotGit(component))', "if (component === '.git')"],
  }),
  ...of('src/store/ledger.ts', 'src/store/ledger.test.ts', {
    'a request leaves that holds nothing': [
      'moveHeld(tx, scopes, ask.inputNanoUsd + output)',
      'moveHeld(tx, scopes, 0 * output)',
    ],
    'what a dead daemon held costs nothing': [
      'const whole = row.input_nano_usd + row.output_nano_usd + row.charged_nano_usd',
      'const whole = 0',
    ],
    'a revoked key may hold': [
      'if ((await keyOwner(tx, ask.keyHash)) !== ask.grant.attempt) return refuse(',
      "if ((await keyOwner(tx, ask.keyHash)) === '') return refuse(",
    ],
    'keys of a dead daemon live on': [
      "tx.run('update virtual_key set revoked_at = :at where revoked_at is null', { at })",
      "tx.run('update virtual_key set revoked_at = :at where revoked_at = 0', { at })",
    ],
  }),
  ...of('src/core/budget.ts', 'src/store/ledger.test.ts', {
    'a family has no limit of its own': ['limitOf(limits.familiesNanoUsd, family)', 'null'],
    'a repository has no limit of its own': ['limitOf(limits.repositoriesNanoUsd, repoName)', 'null'],
  }),
  ...of('src/core/day.ts', 'src/store/ledger.test.ts', {
    "a repository's spending counts for nobody": ['`day/${day}/repo/${repo}`', '`day/${day}/repo/all`'],
  }),
  ...of('src/gateway/admit.ts', 'src/gateway/gateway.test.ts', {
    'a model that was not granted is asked': ['if (!live.grant.models.includes(model))', "if (model === '')"],
  }),
  ...of('src/daemon/settle.ts', 'src/daemon/settle.test.ts', {
    'a void attempt counts': ['if (wire.voided !== null)', "if (wire.voided === '')"],
  }),
  ...of('src/gateway/lease.ts', 'src/gateway/provider-tool.test.ts', {
    'what searches may add is let go of before they are over': [
      '|| hold.passed.length > 0) return null',
      ') return null',
    ],
  }),
  ...of('src/gateway/admit.ts', 'src/gateway/provider-tool.test.ts', {
    'searches are not held for': [' + feeOf(passed)', ''],
  }),
  ...of('src/gateway/gateway.ts', 'src/gateway/gateway.test.ts', {
    'a key is not revoked': ['await database.write((tx) => revokeKeys(tx, attempt, world.clock.now()))', ''],
  }),
  ...of('src/core/price.ts', 'src/core/price.test.ts', {
    'an unknown model has the price of another': [
      'table.models.get(model)\n',
      'table.models.get(model) ?? table.models.values().next().value\n',
    ],
    'what costs a part of a nano-dollar is free': ['(scaled + 999_999n) / 1_000_000n', 'scaled / 1_000_000n'],
  }),
  ...of('src/core/budget.ts', 'src/core/budget.test.ts', {
    'holds of others are not counted': [
      'limit === null ? Infinity : limit - spent - held',
      'limit === null ? Infinity : limit - spent',
    ],
  }),
  ...of('src/core/admission.ts', 'src/core/day-part.test.ts', {
    'a repository that has used up its day starts more': [
      '  if (!mayStartOnPart(snapshot.parts.repos, task.repo, task.lane)) return null\n',
      '',
    ],
    'a family that has used up its day is asked': [
      '      mayStartOnPart(snapshot.parts.families, family, task.lane) &&\n',
      '',
    ],
  }),
  ...of('src/daemon/day-part.ts', 'src/daemon/day-part.test.ts', {
    'what a person added to a part of the day is not seen': ['usualNanoUsd + account.raised', 'usualNanoUsd'],
    'a family is closed from now on, again and again': ['if (!since.has(family)) ', ''],
  }),
  ...of('src/core/day.ts', 'src/core/budget.test.ts', {
    'the day has no ladder': ['reached(0.8)', 'reached(8)'],
  }),
  ...of('src/core/pacer.ts', 'src/core/pacer.test.ts', {
    'the pacer saves up for ever': ['return Math.min(pace.burstNanoUsd, refilled)', 'return refilled'],
  }),
  ...of('src/core/breaker.ts', 'src/core/breaker.test.ts', {
    'the breaker never trips': ['if (all > edge)', 'if (all > 100 * edge)'],
  }),
  ...of('src/sandbox/companion-launcher.ts', 'src/sandbox/companion.test.ts', {
    'a companion obeys who has not shown its token': [
      'if (hello === null || !isSame(hello.token, token))',
      'if (hello === null)',
    ],
    'what an earlier daemon left in a companion lives on': [
      'const left = await Promise.all(others.map(endSession))',
      'const left: number[] = []',
    ],
  }),
  ...of('src/sandbox/companion.ts', 'src/sandbox/companion.test.ts', {
    'a companion is believed whose token others could have put there': [
      '(found.mode & 0o077) !== 0 || ',
      '(found.mode & 0o077) === 1 || ',
    ],
  }),
  ...of('src/sandbox/companion-probe.ts', 'src/sandbox/companion.test.ts', {
    'a companion that is in the same container holds': [
      'if (namespace === pidNamespaceOf(process.pid))',
      "if (namespace === '' && pidNamespaceOf(process.pid) === '')",
    ],
  }),
  ...of('src/daemon/archive.ts', 'src/daemon/archive.test.ts', {
    "the machine's own sessions are sealed for an agent that linked to them": [
      'const waiting = (await isReached(home, folder)) ? [folder] : []',
      'const waiting = [folder]',
    ],
  }),
  ...of('src/stage/contain.ts', 'src/stage/contain.test.ts', {
    'what a gate prints is scrubbed chunk by chunk': [
      'take(scrubber.push(chunk))',
      'take(createScrubber(secrets).push(chunk))',
    ],
  }),
  ...of('src/stage/ask.ts', 'src/stage/ask.test.ts', {
    'the last words of an agent are recorded as they are': [
      'scrubKnown(await start(ports, work, question, tree), prepareSecrets(work.secrets))',
      'scrubKnown(await start(ports, work, question, tree), prepareSecrets([]))',
    ],
  }),
  ...of('src/host/scrub.ts', 'src/host/scrub.test.ts', {
    'the scrubber is off where a chunk ends': [
      'const keep = last ? text.length : holdFrom(text, context, secrets)',
      'const keep = text.length',
    ],
  }),
  ...of('src/host/secret.ts', 'src/store/seal.test.ts', {
    'a key that others can read is used': ['(found.mode & 0o077) !== 0', '(found.mode & 0o077) === 1'],
  }),
  ...of('src/store/lease.ts', 'test/claim-model.test.ts', {
    'a beat revives what was never claimed': [
      "where attempt = :attempt and token = :token and epoch = :epoch and state = 'claimed'`,\n    {\n      attempt: lease.attempt,",
      'where attempt = :attempt and token = :token and epoch = :epoch`,\n    {\n      attempt: lease.attempt,',
    ],
  }),
  ...of('src/core/admission.ts', 'src/core/landing-queue.test.ts', {
    'the queue to land has no order': ['a.addedAt - b.addedAt', 'b.addedAt - a.addedAt'],
  }),
  ...of('src/store/log.ts', 'src/store/log.test.ts', {
    'the log is read from one too early': [
      'where seq > :after\n       and (:stream is null',
      'where seq >= :after\n       and (:stream is null',
    ],
  }),
]
