/** Where the scripted agent is: beside the bundle, or in the source tree. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '../host/fault.ts'

/** The argv of the scripted agent, for the settings of demos and tests. */
export function scriptedProgram(): string[] {
  const bundled = join(import.meta.dirname, 'scripted-agent.js')
  const source = join(import.meta.dirname, '../../sim/scripted-agent.ts')
  const found = [bundled, source].find((path) => existsSync(path))
  if (!found)
    throw new Fault('scripted-agent-missing', `neither ${bundled} nor ${source} is there`, { hint: 'npm run build' })
  return [process.execPath, found]
}
