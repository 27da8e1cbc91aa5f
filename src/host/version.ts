/** This program's version, read from the package it was installed with. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The version in the nearest package.json above this file: the source tree's, or the installed package's. */
export function programVersion(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
        name: string
        version: string
      }
      if (name === 'tri-agent') return version
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    if (folder === dirname(folder)) throw new Error('no package.json of tri-agent above the program')
  }
}
