#!/bin/bash
# A program that leaves every kind of child behind, each called TAG-N and gone by itself after five minutes.
# usage: bash evil.sh TAG
tag=$1
be='exec -a "$0" sleep 300'
let_go='cd /; for f in /proc/$$/fd/*; do n=${f##*/}; [ "$n" -gt 2 ] && eval "exec $n>&-"; done; exec <&- >&- 2>&-; exec -a "$0" sleep 300'
bash -c "$be" "$tag-1" &                                  # of its own group
setsid bash -c "$be" "$tag-2" &                           # of another session, still its child
(setsid bash -c "$be" "$tag-3" &)                         # forked twice: nobody's child
(setsid env -i /bin/bash -c "$be" "$tag-4" &)             # and without an environment
(setsid env -i /bin/bash -c "$let_go" "$tag-5" &)         # and with nothing open, from another folder
exec -a "$tag-0" sleep 300
