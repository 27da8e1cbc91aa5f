/** up: the daemon, in the foreground until it is told to stop, or detached once it answers. */
import { isRefusal } from '../core/refusal.ts'
import { withEnvFile, type Act } from './context.ts'

export const up: Act = async (given, said) => {
  const context = await withEnvFile(given, said)
  if (isRefusal(context)) return context
  if (said.flag('detach')) return (await import('./detach.ts')).detach(given, said)
  const { up: stay } = await import('../daemon/up.ts')
  return stay({
    env: context.env,
    unattended: said.flag('unattended') === true,
    note: (text) => context.note(`${text}\n`),
    onReady: ({ pid, port, rung }) =>
      context.out(
        context.json
          ? `${JSON.stringify({ up: true, pid, port, rung })}\n`
          : `Up: pid ${pid}, sandbox rung ${rung}, health on http://127.0.0.1:${port}/health. Ctrl-C stops it.\n`,
      ),
  })
}
