/** Loaded before a program of ours: databases are opened as they would be by somebody who thinks that `synchronous = normal` will do. */
import { DatabaseSync } from 'node:sqlite'

const { exec } = DatabaseSync.prototype
DatabaseSync.prototype.exec = function (sql) {
  exec.call(this, sql.replaceAll(/synchronous\s*=\s*full/gi, 'synchronous = normal'))
}
