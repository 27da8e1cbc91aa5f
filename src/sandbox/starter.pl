# Inside the sandbox, as its first program where there is a perl: opens the port and starts the command at once, and the forwarder beside it. A Node takes
# ten times as long to be there as this, and nobody has to wait for it: who connects meanwhile waits in the open door. It ends as the command does;
# where the forwarder ends first, all ends.
# usage: perl starter.pl PORT CONTROL NODE FORWARDER SOCKET COMMAND…
use strict;

my ($port, $control, $node, $script, $socket, @command) = @ARGV;
$^F = 255;                                        # the forwarder inherits the door
socket(my $door, 2, 1, 0) or die "no socket: $!\n";    # inet, stream: numbers, because reading Socket.pm takes longer than all of this
setsockopt($door, 1, 2, pack('l', 1)) or die "no socket: $!\n";
bind($door, pack('S n C4 x8', 2, $port, 127, 0, 0, 1)) or die "port $port: $!\n";
listen($door, 511) or die "port $port: $!\n";
open(my $orders, "<&=$control") or die "no control: $!\n";

my $program = fork;
defined $program or die "no process: $!\n";
if ($program == 0) {
    close $door;
    close $orders;
    exec { $command[0] } @command or print STDERR "cannot start $command[0]: $!\n";
    exit 127;
}
my $forwarder = fork;
if (defined $forwarder && $forwarder == 0) {
    open STDIN,  '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    exec { $node } $node, $script, $socket, $control, 'door', fileno $door, $program or exit 127;
}
close $door;
close $orders;
for my $name (qw(TERM INT HUP)) { $SIG{$name} = sub { kill $name, $program } }
while (defined $forwarder) {
    my $ended = waitpid -1, 0;
    exit($? & 127 ? 128 + ($? & 127) : $? >> 8) if $ended == $program;
    last if $ended == $forwarder;
}
print STDERR "the way to the gateway ended\n";
exit 1;
