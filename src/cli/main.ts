#!/usr/bin/env node
/**
 * The way in. It imports nothing at the top and uses no syntax that an old Node cannot read, so that the sentence below is what an old Node prints.
 */
const [major = 0] = process.versions.node.split('.').map(Number)
const [word = '', ...more] = process.argv.slice(2)
if (major < 24) {
  const { startWithNewer } = await import('../host/newer-node.ts')
  const code = await startWithNewer(24)
  if (code === null)
    console.error(
      `tri-agent needs Node 24 or newer, this is ${process.versions.node} and none was found beside it: install one (nvm install 24, brew install node, or nodejs.org) and try again.`,
    )
  process.exitCode = code ?? 2
} else if (more.length === 0 && (word === '--version' || word === '-V')) {
  const { sayVersion } = await import('./quick-version.ts')
  sayVersion()
} else if (word === 'status' && more.every((each) => each === '--json')) {
  const { startStatus } = await import('./quick-status.ts')
  process.exitCode = await startStatus(more.length > 0)
} else {
  const { environment, compileCacheFolder } = await import('../host/environment.ts')
  const folder = compileCacheFolder(environment())
  if (folder !== null) (await import('node:module')).enableCompileCache(folder)
  const isPlainUp =
    word === 'up' && more.every((each) => each === '--trust' || each === '--unattended' || each === '--json')
  process.exitCode = isPlainUp
    ? await (await import('./quick-up.ts')).startUp(more)
    : await (await import('./program.ts')).start(process.argv.slice(2), environment())
}
