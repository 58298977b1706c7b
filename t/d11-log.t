# SPDX-License-Identifier: GPL-2.0-or-later
# A log that nobody reads keeps nobody waiting: neither the supervisor, which has to replace the dead, nor the calls.
use strict;
use warnings;
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use POSIX ();
use Test::More;
use Velador qw(build_dir plan_of wait_for);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->prepare(plan_of(carrier => $carrier->addr));
pipe(my $reader, my $writer) or die "pipe: $!\n";
my $pid = fork // die "fork: $!\n";
if (!$pid) {
	open STDERR, '>&', $writer or POSIX::_exit(127);
	close $reader;
	exec build_dir() . '/velador', '-c', $v->dir . '/velador.ini' or POSIX::_exit(127);
}
$v->{pid} = $pid;
is(wait_for(sub { my $line = <$reader>; return $line =~ /\bready$/ ? 'ready' : 0 }, 20, 'ready'), 'ready', 'the log is a pipe');

# Its reader falls asleep, and it fills up.
my $flags = fcntl($writer, F_GETFL, 0);
fcntl($writer, F_SETFL, $flags | O_NONBLOCK);
1 while syswrite $writer, "-\n" x 2048;
1 while syswrite $writer, "-\n";
fcntl($writer, F_SETFL, $flags & ~O_NONBLOCK);
my ($worker) = grep { $_->{kind} eq 'worker' } @{ $v->ctl('status')->{processes} };
kill 'KILL', $worker->{pid};
my $next = wait_for(sub { my ($p) = grep { $_->{kind} eq 'worker' } @{ ($v->ctl('status') // {})->{processes} // [] }; return $p && $p->{restarts} ? $p : undef }, 5, 'a successor');
ok($next, 'a worker that dies then is replaced');
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
kill 'KILL', $next->{pid} if $next;
ok($phone->hang_up($phone->call($carrier)), 'and again: calls go through');

# It wakes up.
fcntl($reader, F_SETFL, fcntl($reader, F_GETFL, 0) | O_NONBLOCK);
my $third = wait_for(sub {
	my ($p) = grep { $_->{kind} eq 'worker' } @{ ($v->ctl('status') // {})->{processes} // [] };
	return $p && $p->{pid} && $p->{pid} != $next->{pid} ? $p : undef;
}, 5, 'its successor');    # else it would be the dead one once more
kill 'KILL', $third->{pid} if $third;
my $text = '';
wait_for(sub { 1 while sysread $reader, $text, 65536, length $text; return $text =~ /were lost.*\n/ }, 5, 'a line');
like((grep { /lost/ } split /\n/, $text)[0] // '', qr/was killed by signal 9.* \(\d+ lines before this one were lost: nobody read them\)$/, 'the next line says how many were lost');
kill 'TERM', $pid;
is(wait_for(sub { waitpid($pid, POSIX::WNOHANG()) == $pid ? "stopped $?" : undef }, 10, 'the end'), 'stopped 0', 'it stops');
delete $v->{pid};
kill 'KILL', $pid if kill 0, $pid;
done_testing;
