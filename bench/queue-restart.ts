/** How soon a daemon that was killed is back: from the start of the next one, among tasks, to 200 from its /readyz. */
import { bundle, person } from '../test/cli-rig.ts'
import { configure, freePort, startUp } from './rig.ts'

/** Seconds, one figure a kill. */
export async function restartSeconds(kills: number): Promise<number[]> {
  await using built = await bundle()
  await using ada = await person(built.program)
  const port = await freePort()
  const agent = [process.execPath, built.program.replace(/main\.js$/, 'scripted-agent.js')]
  await configure(ada, { agent, url: 'http://127.0.0.1:9', port, more: 'money: { day: $0 }' })
  const seconds: number[] = []
  const first = await startUp(built.program, ada, port)
  await ada.type(['add', 'Sell tea'])
  let daemon = first
  for (let kill = 0; kill < kills; kill++) {
    process.kill(daemon.pid, 'SIGKILL')
    await daemon[Symbol.asyncDispose]() // until it is gone
    daemon = await startUp(built.program, ada, port)
    seconds.push(daemon.readyMs / 1000)
  }
  await daemon[Symbol.asyncDispose]()
  return seconds
}
