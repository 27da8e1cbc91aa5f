-- One more state of a task: parked. A check cannot be changed in place, so the projection is made anew around its rows.
alter table task rename to task_before;
create table task (
  id       text primary key,
  repo     text not null,
  title    text not null,
  kind     text not null,
  lane     text not null check (lane in ('critical', 'normal', 'background')),
  size     text not null check (size in ('small', 'medium', 'large')),
  state    text not null check (state in ('ready', 'running', 'awaiting-approval', 'escalated', 'parked', 'split', 'done', 'cancelled')),
  step     text not null,
  parent   text,
  added_at integer not null,
  version  integer not null,
  doc      text not null check (json_valid(doc)),             -- the folded task, whole
  held     text                                               -- why, or null
) strict;
insert into task select id, repo, title, kind, lane, size, state, step, parent, added_at, version, doc, held from task_before;
drop table task_before;
create index task_added on task (added_at);
create index task_state on task (state, added_at);
create index task_held on task (added_at) where held is not null;
create index task_parent on task (parent, state) where parent is not null;

-- Since the breaker was last closed: what was spent before does not trip it again.
alter table pacer add column counts_from integer not null default 0;
