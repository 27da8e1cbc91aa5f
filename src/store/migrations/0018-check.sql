-- Checks that cost nothing. Of a list of three or more SQLite makes a table of its own each time it checks a row, and that was half of what
-- writing a task took. A check cannot be changed in place, so the projections are made anew around their rows.
alter table task rename to task_before;
create table task (
  id       text primary key,
  repo     text not null,
  title    text not null,
  kind     text not null,
  lane     text not null check (lane = 'normal' or lane = 'critical' or lane = 'background'),
  size     text not null check (size = 'small' or size = 'medium' or size = 'large'),
  state    text not null check (state = 'ready' or state = 'running' or state = 'done' or state = 'delayed' or state = 'awaiting-approval'
    or state = 'escalated' or state = 'parked' or state = 'split' or state = 'cancelled'),
  step     text not null,
  parent   text,
  added_at integer not null,
  version  integer not null,
  doc      text not null check (json_valid(doc)),             -- the folded task, whole
  held     text                                               -- why, or null
) strict;
insert into task select * from task_before order by rowid;
drop table task_before;
create index task_added on task (added_at);
create index task_state on task (state, added_at);
create index task_held on task (added_at) where held is not null;
create index task_parent on task (parent, state) where parent is not null;

alter table attempt rename to attempt_before;
create table attempt (
  id          text primary key,
  task        text not null,
  token       integer not null,
  step        text not null,
  role        text not null,
  family      text,
  agent       text,
  model       text,
  state       text not null check (state = 'admitted' or state = 'started' or state = 'ended'),
  rung        text,
  admitted_at integer not null,
  started_at  integer,
  ended_at    integer,
  outcome     text,
  reason      text,
  cost_nano_usd integer not null default 0,
  tokens      text,
  transcript  text,
  constraint a_token_is_given_once unique (task, token),
  constraint ended_says_how check ((state = 'ended') = (outcome is not null))
) strict;
insert into attempt select * from attempt_before order by rowid;
drop table attempt_before;
create index attempt_under_way on attempt (task) where state <> 'ended';
