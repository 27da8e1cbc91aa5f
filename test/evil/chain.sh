#!/bin/bash
# Each one starts the next in a session of its own and ends; bounded. The mark of it is in every line of it.
# usage: bash chain.sh COUNT TAG
[ "$1" -le 0 ] && exit 0
setsid bash "$0" $(($1 - 1)) "$2" </dev/null >/dev/null 2>&1 &
exit 0
