-- The log: what happened, in order, for ever. Everything that is a projection can be dropped and rebuilt from it.
create table event (
  seq     integer primary key,
  at      integer not null,                                   -- epoch milliseconds
  stream  text    not null check (stream glob '[a-z]*/?*'),   -- 'task/task_7k2m9x4q'
  version integer not null check (version > 0),
  type    text    not null check (type glob '[a-z]*.[a-z]*'),
  actor   text    not null,                                   -- 'daemon', 'person:ada', 'gateway'
  body    text    not null check (json_valid(body)),
  constraint one_event_per_version unique (stream, version)
) strict;
create trigger event_is_never_updated before update on event begin select raise(abort, 'event is append-only'); end;
create trigger event_is_never_deleted before delete on event begin select raise(abort, 'event is append-only'); end;
