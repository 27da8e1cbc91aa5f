/**
 * How git can be made to start somebody's program: by a hook, a setting, an attribute. Each vector is set up in a repository and pulled by git as people
 * type it, which is its control; ours is held where none of our commands on the same repository starts it.
 */
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** A repository to arm: `door` is an executable that leaves the sign, `git` types in it. */
export type Armoury = {
  dir: string
  door: string
  git(args: readonly string[], stdin?: string): Promise<unknown>
  /** In a copy beside it, from which one can push. */
  beside(args: readonly string[]): Promise<unknown>
  write(path: string, text: string): Promise<void>
}

export type Vector = {
  name: string
  /** It would hide others that are armed beside it. */
  alone?: true
  arm(at: Armoury): Promise<unknown>
  pull(at: Armoury): Promise<unknown>
}

const patch =
  'From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nSubject: [PATCH] p\n\n---\n\ndiff --git a/new.md b/new.md\nnew file mode 100644\n--- /dev/null\n+++ b/new.md\n@@ -0,0 +1 @@\n+new\n-- \n2\n'

const commit = ['commit', '-q', '--allow-empty', '-m', 'x']

const hook = (name: string, pull: Vector['pull'], settings: Record<string, string> = {}): Vector => ({
  name: `hook ${name}`,
  async arm({ dir, door, git, write }) {
    await write(`.git/hooks/${name}`, `#!/bin/sh\nexec '${door}'\n`)
    await chmod(join(dir, '.git/hooks', name), 0o755)
    for (const [key, value] of Object.entries(settings)) await git(['config', key, value])
  },
  pull,
})

/** `{door}` in a value is the program. */
const setting = (
  name: string,
  settings: Record<string, string>,
  pull: Vector['pull'],
  files: Record<string, string> = {},
): Vector => ({
  name,
  async arm({ door, git, write }) {
    const fill = (text: string) => text.replaceAll('{door}', door)
    for (const [path, text] of Object.entries(files)) await write(path, fill(text))
    for (const [key, value] of Object.entries(settings)) await git(['config', key, fill(value)])
  },
  pull,
})

const attribute = (text: string) => ({ '.git/info/attributes': `* ${text}\n` })
const push =
  (to: string): Vector['pull'] =>
  ({ dir, beside }) =>
    beside(['push', '-q', '-f', dir, `HEAD:${to}`])
const typed =
  (...args: string[]): Vector['pull'] =>
  ({ git }) =>
    git(args)

const hooks: readonly Vector[] = [
  hook('pre-commit', typed(...commit)),
  hook('prepare-commit-msg', typed(...commit)),
  hook('commit-msg', typed(...commit)),
  hook('post-commit', typed(...commit)),
  hook('reference-transaction', typed('update-ref', 'refs/heads/x', 'HEAD')),
  hook('post-checkout', typed('checkout', '-q', '-b', 'y')),
  hook('post-index-change', typed('read-tree', 'HEAD')),
  hook('pre-merge-commit', typed('merge', '-q', '--no-ff', '-m', 'm', 'apart')),
  hook('post-merge', typed('merge', '-q', '-m', 'm', 'apart')),
  hook('pre-rebase', typed('rebase', 'apart')),
  hook('post-rewrite', typed('commit', '-q', '--amend', '--allow-empty', '-m', 'x')),
  ...['applypatch-msg', 'pre-applypatch', 'post-applypatch'].map((name) =>
    hook(name, ({ git }) => git(['am', '-q'], patch)),
  ),
  hook('pre-push', ({ git, dir }) => git(['push', '-q', `${dir}-beside`, 'HEAD:refs/heads/z'])),
  ...['pre-receive', 'update', 'post-receive', 'post-update'].map((name) => hook(name, push('refs/heads/pushed'))),
  hook('push-to-checkout', push('refs/heads/main'), { 'receive.denyCurrentBranch': 'updateInstead' }),
  hook('proc-receive', push('refs/for/x'), { 'receive.procReceiveRefs': 'refs/for' }),
]

const settings: readonly Vector[] = [
  {
    name: 'core.hooksPath',
    alone: true,
    async arm({ dir, door, git, write }) {
      await write('.git/else/post-checkout', `#!/bin/sh\nexec '${door}'\n`)
      await chmod(join(dir, '.git/else/post-checkout'), 0o755)
      await git(['config', 'core.hooksPath', join(dir, '.git/else')])
    },
    pull: typed('checkout', '-q', '-b', 'y'),
  },
  setting('core.fsmonitor', { 'core.fsmonitor': '{door}' }, typed('status')),
  setting('core.editor', { 'core.editor': '{door}' }, typed('commit', '--allow-empty')),
  setting('sequence.editor', { 'sequence.editor': '{door}' }, typed('rebase', '-i', '--root')),
  setting('core.sshCommand', { 'core.sshCommand': '{door}' }, typed('fetch', 'ssh://localhost/x')),
  setting('core.gitProxy', { 'core.gitProxy': '{door}' }, typed('fetch', 'git://localhost/x')),
  setting('core.askPass', { 'core.askPass': '{door}' }, ({ git }) =>
    git(['credential', 'fill'], 'protocol=https\nhost=x\n\n'),
  ),
  setting('credential.helper', { 'credential.helper': '!{door}' }, ({ git }) =>
    git(['credential', 'fill'], 'protocol=https\nhost=x\n\n'),
  ),
  {
    name: 'core.alternateRefsCommand',
    async arm({ dir, door, git, write }) {
      await write('.git/objects/info/alternates', `${dir}-beside/.git/objects\n`)
      await git(['config', 'core.alternateRefsCommand', door])
    },
    pull: push('refs/heads/pushed'),
  },
  setting(
    'filter.clean',
    { 'filter.evil.clean': '{door}' },
    async ({ git, write }) => {
      await write('more.md', 'more\n')
      await git(['add', '-A'])
    },
    attribute('filter=evil'),
  ),
  setting(
    'filter.smudge',
    { 'filter.evil.smudge': '{door}' },
    typed('checkout', '-q', 'side'),
    attribute('filter=evil'),
  ),
  setting(
    'filter.process',
    { 'filter.evil.process': '{door}' },
    typed('checkout', '-q', 'side'),
    attribute('filter=evil'),
  ),
  setting('diff.external', { 'diff.external': '{door}' }, typed('diff', 'HEAD', 'side')),
  setting('diff.textconv', { 'diff.evil.textconv': '{door}' }, typed('diff', 'HEAD', 'side'), attribute('diff=evil')),
  setting('diff.command', { 'diff.evil.command': '{door}' }, typed('diff', 'HEAD', 'side'), attribute('diff=evil')),
  setting(
    'merge.driver',
    { 'merge.evil.driver': '{door}' },
    typed('merge', '-q', '-m', 'm', 'side'),
    attribute('merge=evil'),
  ),
  setting('gpg.program', { 'gpg.program': '{door}' }, typed('commit', '-q', '-S', '--allow-empty', '-m', 'x')),
  setting(
    'gpg.ssh.program',
    { 'gpg.format': 'ssh', 'gpg.ssh.program': '{door}', 'user.signingKey': '/dev/null' },
    typed('commit', '-q', '-S', '--allow-empty', '-m', 'x'),
  ),
  setting(
    'gpg.x509.program',
    { 'gpg.format': 'x509', 'gpg.x509.program': '{door}' },
    typed('commit', '-q', '-S', '--allow-empty', '-m', 'x'),
  ),
  setting('alias', { 'alias.evil': '!{door}' }, typed('evil')),
  setting('remote.uploadpack', { 'remote.evil.url': '.', 'remote.evil.uploadpack': '{door}' }, typed('fetch', 'evil')),
  setting(
    'remote.receivepack',
    { 'remote.evil.url': '.', 'remote.evil.receivepack': '{door}' },
    typed('push', 'evil', 'HEAD:refs/heads/q'),
  ),
  setting(
    'a remote that is a program',
    { 'remote.evil.url': 'ext::{door}', 'protocol.ext.allow': 'always' },
    typed('fetch', 'evil'),
  ),
  setting('trailer.command', { 'trailer.evil.command': '{door}' }, ({ git }) =>
    git(['interpret-trailers', '--trailer', 'evil=1'], 'x\n'),
  ),
  setting('difftool.cmd', { 'difftool.evil.cmd': '{door}' }, typed('difftool', '-y', '--tool=evil', 'HEAD', 'side')),
  setting('mergetool.cmd', { 'mergetool.evil.cmd': '{door}' }, async ({ git }) => {
    await Promise.resolve(git(['merge', '-q', '-m', 'm', 'side'])).catch(() => 'a conflict, as it should be')
    await git(['mergetool', '-y', '--tool=evil'])
  }),
  setting('browser.cmd', { 'browser.evil.cmd': '{door}' }, typed('web--browse', '--browser=evil', 'x')),
  setting('tar.command', { 'tar.evil.command': '{door}' }, typed('archive', '--format=evil', 'HEAD')),
  setting('include.path', { 'include.path': 'evil.inc' }, typed('evil'), {
    '.git/evil.inc': '[alias]\n\tevil = !{door}\n',
  }),
  setting('includeIf', { 'includeIf.gitdir:/**.path': 'evil.inc' }, typed('evil'), {
    '.git/evil.inc': '[alias]\n\tevil = !{door}\n',
  }),
  setting(
    'core.attributesFile',
    { 'core.attributesFile': '.git/attributes', 'filter.evil.clean': '{door}' },
    async ({ git, write }) => {
      await write('more.md', 'more\n')
      await git(['add', '-A'])
    },
    { '.git/attributes': '* filter=evil\n' },
  ),
  setting('extensions.worktreeConfig', { 'extensions.worktreeConfig': 'true' }, typed('status'), {
    '.git/config.worktree': '[core]\n\tfsmonitor = {door}\n',
  }),
]

export const vectors: readonly Vector[] = [...hooks, ...settings]

/** Writes below a folder, making what it takes. */
export const writerIn =
  (dir: string): Armoury['write'] =>
  async (path, text) => {
    await mkdir(dirname(join(dir, path)), { recursive: true })
    await writeFile(join(dir, path), text)
  }
