/** up: the daemon, in the foreground until it is told to stop, or detached once it answers. */
import type { Act } from './context.ts'

export const up: Act = async (context, said) => {
  if (said.flag('detach')) return (await import('./detach.ts')).detach(context, said)
  const { up: stay } = await import('../daemon/up.ts')
  return stay({
    env: context.env,
    unattended: said.flag('unattended') === true,
    onReady: ({ pid, port, rung }) =>
      context.out(
        context.json
          ? `${JSON.stringify({ up: true, pid, port, rung })}\n`
          : `Up: pid ${pid}, sandbox rung ${rung}, health on http://127.0.0.1:${port}/health. Ctrl-C stops it.\n`,
      ),
  })
}
