# Starts a program and stays as the parent of whatever outlives it (a subreaper), so that nothing of it gets away unseen. Says `pid N`, then what the
# program says, then `ended SIGNAL CODE`; it ends when all that the program ever started has ended.
# usage: perl keeper.pl PROGRAM…
use strict;
use POSIX ();

my %prctl = (x86_64 => 157, aarch64 => 167);
my $number = $prctl{(POSIX::uname())[4]} or die "no number of prctl for this machine\n";
syscall($number, 36, 1, 0, 0, 0) == 0 or die "no subreaper: $!\n";
$| = 1;
for my $name (qw(TERM INT HUP)) { $SIG{$name} = sub { } }
my $program = fork;
defined $program or die "no process: $!\n";
exec { $ARGV[0] } @ARGV or die "cannot start $ARGV[0]: $!\n" if $program == 0;
print "pid $program\n";
while ((my $ended = waitpid -1, 0) != -1) {
    printf "ended %d %d\n", $? & 127, $? >> 8 if $ended == $program;
}
