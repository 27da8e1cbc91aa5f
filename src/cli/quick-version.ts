/** `--version`, in a bundle of its own: programs ask it often, and it needs no parser of options. */
import { programVersion } from '../host/version.ts'
import { out, say } from './say.ts'

export const sayVersion = (): void => say(out, `${programVersion()}\n`)
