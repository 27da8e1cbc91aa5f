/**
 * The repository of the demo: small, but real. TypeScript executed by Node as it is, a dependency that must be set up (`npm ci`, no network needed),
 * one test that fails, and features that are missing. Plain text by path; nothing here starts or writes anything.
 */
export const demoFiles: Readonly<Record<string, string>> = {
  'package.json': `${JSON.stringify(
    {
      name: 'durations',
      version: '1.0.0',
      private: true,
      type: 'module',
      scripts: { test: 'node --test "test/*.test.ts"', bugs: 'node --test "test/bugs/*.test.ts"' },
      dependencies: { units: 'file:vendor/units' },
    },
    null,
    2,
  )}\n`,
  'package-lock.json': `${JSON.stringify(
    {
      name: 'durations',
      version: '1.0.0',
      lockfileVersion: 3,
      requires: true,
      packages: {
        '': { name: 'durations', version: '1.0.0', dependencies: { units: 'file:vendor/units' } },
        'node_modules/units': { resolved: 'vendor/units', link: true },
        'vendor/units': { version: '1.0.0', license: 'MIT' },
      },
    },
    null,
    2,
  )}\n`,
  'vendor/units/package.json': `${JSON.stringify({ name: 'units', version: '1.0.0', license: 'MIT', type: 'module', exports: './index.js' }, null, 2)}\n`,
  'vendor/units/index.js': `/** Milliseconds of each unit. */
export const units = { h: 3_600_000, m: 60_000, s: 1000 }
`,
  '.gitignore': 'node_modules/\n',
  'README.md': `# durations

Reads durations such as \`1h30m\`.

| unit | means |
| --- | --- |
| h | hours |
| m | minutes |
`,
  'src/parse.ts': `import { units } from 'units'

/** Milliseconds of a duration such as \`1h30m\`. Throws on anything else. */
export function parse(text: string): number {
  if (!/^(\\d+[hms])+$/.test(text)) throw new Error(\`not a duration: \${text}\`)
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\\d)([hms])/g)) total += Number(amount) * units[unit as keyof typeof units]
  return total
}
`,
  'test/parse.test.ts': `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from '../src/parse.ts'

test('hours, minutes and seconds add up', () => {
  assert.equal(parse('1h2m3s'), 3_723_000)
})

test('anything else is refused', () => {
  assert.throws(() => parse('soon'), /not a duration/)
})
`,
  'test/bugs/parse.test.ts': `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from '../../src/parse.ts'

test('amounts may have more than one digit', () => {
  assert.equal(parse('90m'), 5_400_000)
})
`,
  'tri-agent.yaml': `# How tri-agent sets this repository up and what must be green before anything lands.
setup:
  - npm ci --no-audit --no-fund
setupKey: [package-lock.json, vendor/units/package.json, vendor/units/index.js]
toolchain: [node, npm]
gates:
  - name: tests
    command: npm test
    timeout: 60s
  - name: bugs            # red before the first task: a baseline, which only new failures break
    command: npm run bugs
    timeout: 60s
    baseline: allow
`,
}
