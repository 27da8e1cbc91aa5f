-- What closes a model of a family, so that a restart does not run into the same wall. Not a projection: the wire said it.
create table cool_down (
  family text not null,
  model  text not null,
  state  text not null check (json_valid(state)),
  primary key (family, model)
) strict, without rowid;
