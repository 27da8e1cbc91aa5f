/** Before and after all the tests of one command: the bundle is built once, for every test file that starts it. */
import { environment } from '../src/host/environment.ts'
import { build, bundleVariable } from './cli-rig.ts'

let built: Awaited<ReturnType<typeof build>> | null = null

export async function globalSetup(): Promise<void> {
  built = await build()
  Object.assign(environment(), { [bundleVariable]: built.program }) // the runner hands its environment to every test file
}

export async function globalTeardown(): Promise<void> {
  await built?.[Symbol.asyncDispose]()
}
