import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { isDefaultPassword, layEnvFile, parseEnvFile } from './env-file.ts'

/** The file the seed of this project asks for, filled in. */
const production = `# production
ANTHROPIC_API_KEY=sk-ant-canary
export OPENAI_API_KEY="sk-canary"
GOOGLE_API_KEY='AIza canary $1'
REDIS_URL=redis://claude-redis:6379/0
CLAUDE_AUTONOMOUS_MODE=true

GRAFANA_PASSWORD=correct-horse
GRAFANA_PORT=3000
`

async function lay(context: TestContext, text: string, env: Record<string, string> = {}, mode = 0o600) {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-env-'))
  context.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, '.env.prod')
  await writeFile(file, text)
  await chmod(file, mode)
  return JSON.parse(JSON.stringify(await layEnvFile(file, env)).replaceAll(file, 'FILE')) as Awaited<
    ReturnType<typeof layEnvFile>
  >
}

test('the variables of the file are read, those set already win and are named, what we do not read is named', async (context) => {
  assert.deepEqual(await lay(context, production, { HOME: '/home/ada', OPENAI_API_KEY: 'mine', REDIS_URL: '' }), {
    env: {
      HOME: '/home/ada',
      ANTHROPIC_API_KEY: 'sk-ant-canary',
      OPENAI_API_KEY: 'mine',
      GOOGLE_API_KEY: 'AIza canary $1',
      REDIS_URL: 'redis://claude-redis:6379/0',
      CLAUDE_AUTONOMOUS_MODE: 'true',
      GRAFANA_PASSWORD: 'correct-horse',
    },
    notes: [
      'OPENAI_API_KEY: set in the environment too, which wins over FILE',
      'FILE: not read by tri-agent: GRAFANA_PORT',
    ],
  })
})

test('a file that others can read is refused, whoever they are, with what to type', async (context) => {
  for (const mode of [0o644, 0o640, 0o604]) {
    const no = await lay(context, production, {}, mode)
    assert.deepEqual(no, { refused: 'env-file-unsafe', why: 'FILE can be read by others', hint: 'chmod 600 FILE' })
  }
})

test('a password that stands in examples is refused, in any case of letters', async (context) => {
  const no = await lay(context, 'GRAFANA_PASSWORD=Secure_Password\n')
  assert.equal(isRefusal(no) && no.refused, 'password-default')
  assert.deepEqual(['admin', '', 'correct-horse'].map(isDefaultPassword), [true, true, false])
})

test('what another reader could take differently is refused with its line, and no value is repeated', () => {
  const wrong = [
    'canary',
    'A B=canary',
    '1A=canary',
    'A = canary',
    'A=canary # a comment',
    'A="canary',
    'A="canary" # a comment',
    'A=$(canary)',
    'A=${CANARY}-canary',
    'A="a$CANARY canary"',
    'A=`canary`',
    'A="canary\\n"',
    'A=canary\nA=canary',
  ]
  for (const text of wrong) {
    const no = parseEnvFile(text, 'FILE')
    assert.ok(isRefusal(no), text)
    assert.match(no.why, /^FILE:[12]: /)
    assert.ok(!JSON.stringify(no).includes('canary'), text)
  }
  assert.deepEqual(
    parseEnvFile('\ufeffA=1\r\nB=a=b#c\r\nC=\n', 'FILE'),
    new Map([
      ['A', '1'],
      ['B', 'a=b#c'],
      ['C', ''],
    ]),
  )
})
