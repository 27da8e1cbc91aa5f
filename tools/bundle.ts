/** How the sources become what ships: bundled for the oldest Node we support, Node's modules and the price table read when they are asked for. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { findProvider } from '@pydantic/genai-prices'
import type { Plugin } from 'esbuild'
import { providers } from '../src/gateway/prices.ts'

const root = join(import.meta.dirname, '..')

/**
 * An import of a module of Node copies all that it exports, and so reads every lazy part of it: `node:fs` alone costs a start 7 ms. The bundle asks
 * for the module itself instead: one that Node has read already at once, any other at the first call of one of its functions.
 */
const lazyBuiltins: Plugin = {
  name: 'lazy-builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, importer }) =>
      // what an old Node must be able to read has no such call; the prompts of init ask for more than functions, and are loaded late as a whole
      importer.endsWith('newer-node.ts') || importer.includes('/@clack/') ? undefined : { path, namespace: 'lazy' },
    )
    onLoad({ filter: /.*/, namespace: 'lazy' }, async ({ path }) => {
      if (path === 'node:process') return { contents: 'export default globalThis.process' }
      const isRead = ['node:fs', 'node:path', 'node:events'].includes(path)
      const exported = Object.entries((await import(path)) as object).filter(([name]) => name !== 'default')
      const lines = exported.map(([name, value]) =>
        // a class is made with `new` and a constant is no call: whoever names one loads the module
        typeof value === 'function' && /^[a-z]/.test(name) && !isRead
          ? `export const ${name} = (...args) => load().${name}(...args)`
          : `export const ${name} = /* @__PURE__ */ (() => load().${name})()`,
      )
      const load = `let found; const load = () => (found ??= process.getBuiltinModule('${path}'))`
      const calls = exported.filter(([name, value]) => typeof value === 'function' && /^[a-z]/.test(name))
      const whole = isRead ? '/* @__PURE__ */ load()' : `{ ${calls.map(([name]) => name).join(', ')} }`
      return { contents: [load, ...lines, `export default ${whole}`].join('\n') }
    })
  },
}

/**
 * The price table's package is half a megabyte of objects that are made at every start. The bundle has what we use of it as text, read at the first
 * question for a price.
 */
const pricesAsText: Plugin = {
  name: 'prices-as-text',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^@pydantic\/genai-prices$/ }, ({ path }) => ({ path, namespace: 'prices' }))
    onLoad({ filter: /.*/, namespace: 'prices' }, () => {
      const used = Object.fromEntries(providers.map((id) => [id, findProvider({ providerId: id })]))
      const text = JSON.stringify(used)
      if (!isDeepStrictEqual(JSON.parse(text), used)) throw new Error('the price table is more than plain data')
      const find = 'export const findProvider = ({ providerId }) => (found ??= JSON.parse(text))[providerId]'
      return { contents: `const text = ${JSON.stringify(text)}; let found; ${find}` }
    })
  },
}

/** Half of commander is what its methods are for, in comments that Node would read through at every start. */
const withoutComments: Plugin = {
  name: 'without-comments',
  setup({ onLoad, esbuild }) {
    onLoad({ filter: /\/node_modules\/commander\/.*\.js$/ }, async ({ path }) => {
      const read = { minifyWhitespace: true, sourcemap: 'inline', sourcefile: path } as const
      return { contents: (await esbuild.transform(await readFile(path, 'utf8'), read)).code }
    })
  },
}

/** What every bundle has. */
export const shared = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  // its ES form: the one meant for Node calls require(), which a bundle in ES form has not
  alias: { yaml: join(root, 'node_modules/yaml/browser/index.js') },
  sourcemap: true,
  sourcesContent: false,
  metafile: true,
} as const

/** What every bundle of ours has besides. */
export const plugins = [lazyBuiltins, pricesAsText, withoutComments]
