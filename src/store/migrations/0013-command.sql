-- Answers of commands that may come twice, for an hour: no events, and no projection.
create table command (
  id     text    primary key,
  at     integer not null,
  answer text    not null check (json_valid(answer))
) strict, without rowid;
create index command_at on command (at);
