/** What a person sees of money and decides about it: budget, cost, prices, on a real database. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { scopePath, defaultLimits } from '../../src/core/budget.ts'
import { dayOf } from '../../src/core/day.ts'
import { noTokens } from '../../src/core/price.ts'
import { grantKey, hashKey, placeHold, settleHold } from '../../src/store/ledger.ts'
import { append } from '../../src/store/append.ts'
import { setPace, watchSpending } from '../../src/store/pace.ts'
import { bundle, person, world, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

const usd = 1_000_000_000

async function shop(): Promise<Person> {
  const ada = await person(built.program)
  await ada.type(['init'])
  return ada
}

async function added(ada: Person, title: string): Promise<string> {
  const { task } = (await ada.json(['add', title])) as { task: { id: string } }
  return task.id
}

/** Charges a task for one request. */
const spend = (
  ada: Person,
  task: string,
  nanoUsd: number,
  more: { model?: string; stage?: string; repo?: string } = {},
) =>
  ada.withDatabase((database) =>
    database.write(async (tx) => {
      const at = world.clock.now()
      const day = dayOf(at)
      const model = more.model ?? 'gpt-6-sol'
      const grant = {
        attempt: world.id('att'),
        task,
        repo: more.repo ?? 'repo_1',
        repoName: 'shop',
        stage: more.stage ?? 'implement',
        lane: 'normal' as const,
        family: 'openai',
        models: [model],
        scope: `task/${task}`,
        limitNanoUsd: 10 * usd,
        grantedAt: at,
      }
      await setPace(tx, defaultLimits.pace, at)
      await grantKey(tx, grant.attempt, grant)
      const ask = { inputNanoUsd: nanoUsd, inputTokens: 5, outputRate: 1, leastTokens: 0, mostTokens: 0 }
      const path = scopePath(grant, defaultLimits, day)
      const placed = await placeHold(tx, { keyHash: hashKey(grant.attempt), grant, model, path, ...ask, at, day })
      assert.ok('hold' in placed)
      const tokens = { ...noTokens, input: 1000, output: 50 }
      await settleHold(tx, placed.hold, { nanoUsd, tokens, how: 'exact', at })
    }),
  )

const park = (ada: Person, task: string, scope: string) =>
  ada.withDatabase((database) =>
    database.write((tx) =>
      append(tx, {
        at: world.clock.now(),
        actor: 'daemon',
        stream: `task/${task}`,
        events: [
          { type: 'task.parked', attempt: 'att_1', scope, why: 'the money is over', until: null, archive: null },
        ],
      }),
    ),
  )

test('budget says what is spent, how fast, and when the day ends; raising a task lets it and its parts go on', async () => {
  await using ada = await shop()
  const id = await added(ada, 'Sell tea')
  await spend(ada, id, 1.5 * usd)
  const { stdout } = await ada.type(['budget'])
  assert.match(
    stdout,
    /^Today {4}\$1\.50 spent of \$75\.00 \(2 %\)\n {9}\$90\.00 an hour lately: (?:at this rate the day ends at \d\d:\d\d UTC|that outlasts the day)\n/,
  )
  assert.match(
    stdout,
    /\nMinute {3}\$1\.50 in the last one; \$1\.00 a minute pass, \$1\.5\d* of \$3\.00 at once now\nBreaker {2}closed\n/,
  )
  await park(ada, id, `task/${id}`)
  const raised = await ada.json(['budget', 'raise', id.slice(5), '5'])
  assert.deepEqual(raised, { scope: `task/${id}`, limitNanoUsd: 15 * usd, resumed: [id], daemonHeard: false })
  const shown = (await ada.json(['show', id])) as { task: { state: string } }
  assert.equal(shown.task.state, 'ready')
  const day = await ada.type(['budget', 'raise', 'day', '20'])
  assert.match(day.stdout, /^day\/\d{4}-\d\d-\d\d may cost \$95\.00 now\.\n$/)
  assert.match((await ada.type(['budget'])).stdout, /of \$95\.00/)
  assert.match((await ada.type(['budget', 'history'])).stdout, /person:\S+ added \$20\.00 to day\//)
})

test('raises add up from the first one on, and what no ledger could count is refused before it is written', async () => {
  await using ada = await shop()
  const id = await added(ada, 'Sell tea')
  const limitOf = async (whose: string, by: string) =>
    ((await ada.json(['budget', 'raise', whose, by])) as { limitNanoUsd: number }).limitNanoUsd / usd
  assert.deepEqual([await limitOf('day', '20'), await limitOf('day', '5')], [95, 100])
  assert.deepEqual([await limitOf(id, '5'), await limitOf(id, '1')], [15, 16])
  for (const whose of ['day', id]) {
    const most = await ada.type(['budget', 'raise', whose, '9007190'])
    assert.equal(most.code, 1, most.stdout)
    assert.match(most.stderr, /more than can be counted/)
  }
  assert.ok((await limitOf('day', '9000000')) > 9_000_000)
  assert.equal((await ada.type(['budget', 'set', 'day', '9000000'])).code, 0)
  const status = await ada.type(['budget'])
  assert.deepEqual([status.code, status.stderr], [0, ''])
  assert.match(status.stdout, /^Today {4}\$0\.00 spent of \$9007199\.25 /)
})

test('budget says what repositories and families have of the day; what is parked at one goes on once it is raised', async () => {
  await using ada = await shop()
  const id = await added(ada, 'Sell tea')
  const { repo } = ((await ada.json(['show', id])) as { task: { repo: string } }).task
  const rest = 'keyFrom: { env: NOTHING }, models: gpt-6-sol'
  await writeFile(
    ada.paths.configFile,
    `families: { openai: { ${rest} }, google: { ${rest} }, anthropic: { ${rest} } }
money: { repositories: { shop: $2, shpo: $1 }, families: { openai: $1.60, google: $1 } }\n`,
  )
  await spend(ada, id, 1.5 * usd, { repo })
  const { stdout } = await ada.type(['budget'])
  assert.match(stdout, /\n +repository shop: \$1\.50 spent of \$2\.00 \(75 %\)\n/)
  assert.match(stdout, /\n +family openai: \$1\.50 spent of \$1\.60 \(93 %\): only critical work starts\n/)
  assert.match(stdout, /\n +family google: \$0\.00 spent of \$1\.00 \(0 %\)\n/)
  assert.ok(!stdout.includes('anthropic'), 'it has no limit and spent nothing')
  const { checks } = JSON.parse((await ada.type(['doctor', '--json'])).stdout) as {
    checks: { name: string; found: string; mend: string }[]
  }
  const { found, mend } = checks.find(({ name }) => name === 'limits')!
  assert.match(`${found}; ${mend}`, /^money\.repositories\.shpo: no repository .* registered: shop$/)
  const day = dayOf(world.clock.now())
  for (const [what, name, scope, cents] of [
    ['repository', 'shop', `day/${day}/repo/${repo}`, 700],
    ['family', 'openai', `day/${day}/family/openai`, 660],
  ] as const) {
    await park(ada, id, scope)
    const { next } = (await ada.json(['show', id])) as { next: string[] }
    const said = what === 'family' ? name : repo
    assert.equal(next[0], `tri-agent budget raise ${what} ${said} 5`)
    const raised = await ada.json(next[0]!.split(' ').slice(1))
    assert.deepEqual(raised, { scope, limitNanoUsd: (cents * usd) / 100, resumed: [id], daemonHeard: false })
    assert.match(
      (await ada.type(['budget', 'history'])).stdout,
      new RegExp(`added \\$5\\.00 to ${what} ${said} on ${day}`),
    )
    const again = await ada.type(['budget', 'raise', what, name, '$1'])
    assert.equal(again.stdout, `Today ${what} ${name} may cost $${((cents + 100) / 100).toFixed(2)} now.\n`)
  }
  const { repositories, families } = (await ada.json(['budget'])) as Record<
    string,
    { name: string; limitNanoUsd: number }[]
  >
  assert.deepEqual(
    [...repositories!, ...families!].map(({ name, limitNanoUsd }) => [name, limitNanoUsd / usd]),
    [
      ['shop', 8],
      ['openai', 7.6],
      ['google', 1],
    ],
  )
  for (const [wrong, why] of [
    [['family', 'opneai', '5'], /did you mean "openai"/],
    [['family', 'anthropic', '5'], /anthropic has no limit of its own/],
    [['family', 'openai'], /no amount is said/],
    [['family'], /say which family/],
    [['repository', 'mill', '5'], /no repository "mill" is registered/],
  ] as const) {
    const { code, stderr } = await ada.type(['budget', 'raise', ...wrong])
    assert.equal(code, 1)
    assert.match(stderr, why)
  }
})

test('the forecast is also asked for by its name', async () => {
  await using ada = await shop()
  assert.equal((await ada.type(['budget', 'forecast'])).stdout, 'nothing was spent lately\n')
  await spend(ada, await added(ada, 'Sell tea'), 1.5 * usd)
  assert.match((await ada.type(['budget', 'forecast'])).stdout, /^\$90\.00 an hour lately: /)
  const { forecast } = (await ada.json(['budget', 'forecast'])) as { forecast: { hourNanoUsd: number } }
  assert.equal(forecast.hourNanoUsd, 90 * usd)
})

test('a tripped breaker is told of and closed by a person, and then what it parked goes on', async () => {
  await using ada = await shop()
  const id = await added(ada, 'Sell tea')
  await spend(ada, id, 2.9 * usd)
  await ada.withDatabase((database) => database.write((tx) => watchSpending(tx, world.clock.now(), 2 * usd)))
  await park(ada, id, 'minute')
  assert.match(
    (await ada.type(['budget'])).stdout,
    /Breaker {2}tripped .*: \$4\.90 spent and held within 60 seconds[\s\S]*at once: tri-agent budget resume/,
  )
  assert.deepEqual(await ada.json(['budget', 'resume']), { resumed: [id], daemonHeard: false })
  const again = await ada.type(['budget', 'resume'])
  assert.deepEqual([again.code, again.stdout], [1, ''])
  assert.match(again.stderr, /the breaker has not tripped/)
})

test('budget set writes the settings and keeps what a person wrote; what is wrong changes nothing', async () => {
  await using ada = await shop()
  const before = await readFile(ada.paths.configFile, 'utf8')
  assert.equal((await ada.type(['budget', 'set', 'minute', '2.50'])).code, 0)
  const after = await readFile(ada.paths.configFile, 'utf8')
  assert.deepEqual(
    before.split('\n').filter((line) => line.startsWith('#')),
    after.split('\n').filter((line) => line.startsWith('#')),
  )
  assert.match((await ada.type(['config', 'show'])).stdout, /money\.minute +\$2\.50/)
  for (const wrong of [
    ['set', 'minute', 'lots'],
    ['set', 'year', '5'],
    ['raise', 'day'],
    ['raise', 'day', '-5'],
    ['raise', 'nobody', '5'],
  ])
    assert.equal((await ada.type(['budget', ...wrong])).code, 1, wrong.join(' '))
  assert.equal(await readFile(ada.paths.configFile, 'utf8'), after)
})

test('cost sums by task, family, model, stage and day, as a table, JSON and CSV', async () => {
  await using ada = await shop()
  const [tea, coffee] = [await added(ada, 'Sell tea'), await added(ada, 'Sell coffee')]
  await spend(ada, tea, 0.5 * usd)
  await spend(ada, tea, 0.25 * usd, { model: 'gpt-6-mini', stage: 'review' })
  await spend(ada, coffee, 0.1 * usd)
  const { stdout } = await ada.type(['cost'])
  assert.equal(
    ada.still(stdout),
    `task           cost     requests  tokens in  out  title
task_1  $0.7500  2         2000       100  Sell tea
task_2  $0.1000  1         1000       50   Sell coffee
Total $0.8500
`,
  )
  const by = async (what: string, ...more: string[]) =>
    ((await ada.json(['cost', '--by', what, ...more])) as { rows: { name: string; nanoUsd: number }[] }).rows.map(
      ({ name, nanoUsd }) => [name, nanoUsd / usd],
    )
  assert.deepEqual(await by('model'), [
    ['gpt-6-sol', 0.6],
    ['gpt-6-mini', 0.25],
  ])
  assert.deepEqual(await by('stage', '--task', tea), [
    ['implement', 0.5],
    ['review', 0.25],
  ])
  assert.deepEqual(await by('family'), [['openai', 0.85]])
  assert.deepEqual(await by('day', '--since', '2999-01-01'), [])
  const csv = await ada.type(['cost', '--by', 'family', '--csv'])
  assert.equal(
    csv.stdout,
    'family,requests,input,cachedInput,cacheWrite,output,nanoUsd\n"openai",3,3000,0,0,150,850000000\n',
  )
  assert.match((await ada.type(['cost', '--since', 'May'])).stderr, /is not a day/)
})

test('prices tell where each is from; a model without one is refused with the command that gives it one', async () => {
  await using ada = await shop()
  assert.match(
    (await ada.type(['prices', '--all'])).stdout,
    /^claude-opus-5-5 +4 +0\.2 +5 +20 +our corrections, 2026-11-23/m,
  )
  assert.match(
    (await ada.type(['prices', 'explain', 'gpt-6-sol'])).stdout,
    /from the bundled table, 2026-09-23[\s\S]*above 272000 input tokens[\s\S]*a search by its provider itself, where providerTools lets it: 0\.01 dollars/,
  )
  const unknown = await ada.type(['prices', 'explain', 'my-model'])
  assert.equal(unknown.code, 1)
  assert.match(
    unknown.stderr,
    /no price is known for model my-model[\s\S]*tri-agent prices set my-model --input USD --output USD/,
  )
  assert.equal((await ada.type(['prices', 'set', 'my-model', '--input', '2.50', '--output', '10'])).code, 0)
  assert.match((await ada.type(['prices', 'explain', 'my-model'])).stdout, /from your settings\ninput 2\.5,/)
  assert.match((await ada.type(['prices', 'check'])).stderr, /no family is configured/)
})

test('a price that is no plain number of dollars, and a day that no calendar has, is refused', async () => {
  await using ada = await shop()
  const before = await readFile(ada.paths.configFile, 'utf8')
  for (const wrong of ['', ' ', '$', '0x10', '1e3', '-1', 'Infinity', 'NaN', '1,5'])
    for (const [input, output] of [
      [wrong, '1'],
      ['1', wrong],
    ] as const) {
      const { code, stderr } = await ada.type(['prices', 'set', 'my-model', `--input=${input}`, `--output=${output}`])
      assert.deepEqual([code, /what a million tokens cost/.test(stderr)], [1, true], `${input} ${output}: ${stderr}`)
    }
  assert.equal(await readFile(ada.paths.configFile, 'utf8'), before)
  assert.equal((await ada.type(['prices', 'set', 'my-model', '--input', '$0.25', '--output', '0'])).code, 0)
  for (const day of ['2026-99-99', '2026-02-29', '2026-00-01'])
    assert.match((await ada.type(['cost', '--since', day])).stderr, /is not a day/, day)
  assert.equal((await ada.type(['cost', '--since', '2028-02-29'])).code, 0)
})

test('budget sounds an alarm where clients count otherwise than the wire, and only for a day', async () => {
  await using ada = await shop()
  const task = await added(ada, 'Sell tea')
  const drift = (drift: 'more' | 'less', ageMs: number) =>
    ada.withDatabase((database) =>
      database.write((tx) => {
        const wire = { input: 1, cachedInput: 0, cacheWrite: 0, output: 1 }
        const event = { type: 'usage.drifted', attempt: 'att_1', drift, wire, said: wire } as const
        return append(tx, { at: world.clock.now() - ageMs, actor: 'daemon', stream: `task/${task}`, events: [event] })
      }),
    )
  await drift('more', 86_400_000)
  assert.ok(!(await ada.type(['budget'])).stdout.includes('Drift'))
  await drift('more', 1000)
  await drift('less', 500)
  await drift('less', 0)
  assert.match(
    (await ada.type(['budget'])).stdout,
    new RegExp(
      `^Drift    since yesterday the clients of 1 attempt count more tokens than the wire saw: something may be asked past it; of 2 attempts count less than half of what the wire saw \\(last: tri-agent show ${task}\\)$`,
      'm',
    ),
  )
  assert.deepEqual((await ada.json(['budget']))['drift'], { more: 1, less: 2, task })
})

test('every price that is too old is named at once, and one command confirms them all', async () => {
  await using ada = await shop()
  const families =
    '{ anthropic: { models: claude-opus-4-8 }, openai: { models: gpt-6-sol }, own: { agent: opencode, baseUrl: https://x.example, keyFrom: { env: K }, models: my-own } }'
  await writeFile(
    ada.paths.configFile,
    `families: ${families}\nmoney: { priceAge: 1d }\nprices: { my-own: { input: 1, output: 1 } }\n`,
  )
  const { code, stderr } = await ada.type(['prices', 'check'])
  assert.equal(code, 1)
  assert.match(
    stderr,
    /price of claude-opus-4-8 was looked up[^\n]*\n[^\n]*price of gpt-6-sol was looked up[\s\S]*tri-agent prices; where the vendors say the same: tri-agent prices confirm --all/,
  )
  assert.deepEqual((await ada.json(['prices', 'confirm', '--all']))['models'], ['claude-opus-4-8', 'gpt-6-sol'])
  assert.equal((await ada.type(['prices', 'check'])).code, 0)
  assert.match((await ada.type(['prices', 'confirm'])).stderr, /say which model, or --all/)
})
