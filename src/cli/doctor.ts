/** doctor: what works here, what does not, and how to mend it. Exit code 1 when something required is missing. */
import { worstOf, type Check } from '../core/check.ts'
import { isRefusal } from '../core/refusal.ts'
import { answer, withEnvFile, type Act } from './context.ts'
import { exitCode } from './exit-code.ts'
import { plural } from '../core/quantity.ts'
import { wrap } from './format.ts'

export const doctor: Act = async (given, said) => {
  const context = await withEnvFile(given, said)
  if (isRefusal(context)) return context
  const { examine } = await import('../daemon/doctor.ts')
  const { world, env, paths, cwd } = context
  const checks = await examine({
    world,
    env,
    paths,
    cwd,
    live: said.flag('live') === true,
    gates: said.flag('gates') === true,
    production: said.text('profile') === 'production',
    note: (text) => context.note(`${text}\n`),
  })
  const worst = worstOf(checks)
  answer(context, { ok: worst !== 'missing', checks }, asText(checks, context.columns))
  return worst === 'missing' ? exitCode.refused : exitCode.done
}

function asText(checks: readonly Check[], columns: number): string {
  const width = Math.max(...checks.map(({ name }) => name.length))
  const indent = ' '.repeat(9 + width + 2)
  const room = Math.min(columns, 140)
  const lines = checks.flatMap(({ name, state, found, mend }) => [
    `${state.padEnd(9)}${name.padEnd(width)}  ${wrap(found, room, indent).trimStart()}`,
    ...(mend === null ? [] : [wrap(`→ ${mend}`, room, indent)]),
  ])
  const count = (state: Check['state']) => checks.filter((check) => check.state === state).length
  return [...lines, '', `${count('ok')} ok, ${plural(count('warning'), 'warning')}, ${count('missing')} missing.`].join(
    '\n',
  )
}
