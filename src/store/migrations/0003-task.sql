-- Projections: derived from the log by store/projection.ts, dropped and rebuilt at any moment.
create table repo (
  id   text primary key,
  path text not null,
  name text not null,
  base text not null,
  trusted text,                                               -- hash of the commands a person agreed to
  constraint a_repository_is_registered_once unique (path)
) strict, without rowid;

create table task (
  id       text primary key,
  repo     text not null,
  title    text not null,
  kind     text not null,
  lane     text not null check (lane in ('critical', 'normal', 'background')),
  size     text not null check (size in ('small', 'medium', 'large')),
  state    text not null check (state in ('ready', 'running', 'awaiting-approval', 'escalated', 'split', 'done', 'cancelled')),
  step     text not null,
  parent   text,
  added_at integer not null,
  version  integer not null,
  doc      text not null check (json_valid(doc))              -- the folded task, whole
) strict;                                                     -- with rowid: rows this long spill over in a table without
create index task_open on task (added_at) where state not in ('done', 'cancelled');
create index task_added on task (added_at);

create table attempt (
  id          text primary key,
  task        text not null,
  token       integer not null,
  step        text not null,
  role        text not null,
  family      text,
  agent       text,
  model       text,
  state       text not null check (state in ('admitted', 'started', 'ended')),
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
) strict, without rowid;

create table vote (
  task       text not null,
  round      integer not null,
  family     text not null,
  model      text not null,
  attempt    text not null,
  commit_sha text not null,
  author     text not null,
  summary    text not null,
  primary key (task, round, family),
  constraint nobody_reviews_their_own_work check (family <> author)
) strict, without rowid;

create table landing (
  task       text primary key,                                -- each approval lands at most once
  repo       text not null,
  commit_sha text not null,
  tree       text not null,
  target     text not null,
  at         integer not null
) strict, without rowid;
