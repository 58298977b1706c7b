# SPDX-License-Identifier: GPL-2.0-or-later
# Options, exit codes, what a start makes and a stop takes away.
use strict;
use warnings;
use IO::Socket::IP;
use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Velador qw(build_dir plan_of slurp wait_for);

my $v = Velador->prepare(plan_of(carrier => '127.0.0.1:' . Velador::free_port()));
my ($program, $ini, $dir) = (build_dir() . '/velador', $v->dir . '/velador.ini', $v->dir);

# Runs velador to its end: (exit code, standard output, standard error).
sub velador {
	my @options = @_;
	my $pid = Velador::spawn('velador', "$dir/out", 'sh', '-c', 'exec "$@" 2>"$0"', "$dir/err", 'timeout', 20, $program, @options);
	my $status = Velador::reap($pid, 25);
	my ($out, $err) = (slurp("$dir/out"), slurp("$dir/err"));
	unlink "$dir/out", "$dir/err";
	return ($status >> 8, $out, $err);
}

my ($code, $out, $err) = velador('--version');
is($code, 0, '--version');
like($out, qr/^velador \d+\.\d+/, 'prints the version');
($code, $out, $err) = velador('--help');
is($code, 0, '--help');
like($out, qr/^usage: velador/, 'prints the usage');
is((velador('--nonsense'))[0], 2, 'an unknown option is wrong usage');
is((velador('-c', $ini, 'argument'))[0], 2, 'so is an argument');
is((velador('-t', '-c', $ini))[0], 0, '-t: good');
($code, $out, $err) = velador('-t', '-c', $ini, '-o', 'session.ttl=never');
is($code, 1, '-t with a bad override: bad');
like($err, qr/session\.ttl/, 'and says which');
($code, $out, $err) = velador('-t', '-c', $ini, '-o', 'gateway carrier.address=no-such-name.invalid');
is($code, 1, '-t: a name that does not resolve');
like($err, qr/no-such-name\.invalid/, 'is named');
($code, $out, $err) = velador('-t', '-c', "$dir/missing.ini");
is($code, 1, 'a missing file');
like($err, qr/missing\.ini/, 'is named');
($code, $out, $err) = velador('-c', $ini, '-o', 'gateway carrier.address=no-such-name.invalid');
is($code, 1, 'a start with a name that does not resolve fails');
like($err, qr/no-such-name\.invalid/, 'and names it');
ok(!-e "$dir/arena", 'and leaves no arena');

my $taken = IO::Socket::IP->new(LocalAddr => $v->addr, Type => SOCK_DGRAM, Proto => 'udp') or die "bind: $!\n";
($code, $out, $err) = velador('-c', $ini);
is($code, 1, 'a taken port');
like($err, qr/\Q@{[$v->addr]}\E: /, 'is named');
close $taken;

my $notify = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$dir/notify") or die "notify: $!\n";
$notify->blocking(0);
local $ENV{NOTIFY_SOCKET} = "$dir/notify";
$v->run;
delete $ENV{NOTIFY_SOCKET};
my $said = wait_for(sub { my $text; defined $notify->recv($text, 100) ? $text : undef }, 5, 'the notice to systemd');
is($said, 'READY=1', 'sd_notify: ready');
is((() = $v->log_text =~ /\bready$/mg), 1, 'one line of the log ends in ready');
is(sprintf('%o', (stat "$dir/control.sock")[2] & 07777), '600', 'the control socket is for its owner only');
is(sprintf('%o', (stat "$dir/arena")[2] & 07777), '600', 'so is the arena');

($code, $out, $err) = velador('-c', $ini);
is($code, 1, 'a second start on the same arena fails');
like($err, qr/in use/, 'and says why');
my @apart = ("velador.shm_file=$dir/arena2", 'listen.udp=127.0.0.1:' . Velador::free_port(), "velador.run_dir=$dir/run2");
($code, $out, $err) = velador('-c', $ini, map { ('-o', $_) } @apart[0, 1]);
is($code, 1, 'so does one in the same run_dir, that would take over the control socket');
like($err, qr/run_dir: \Q$dir\E is in use/, 'and says why');
ok(!-e "$dir/arena2", 'it leaves no arena');
($code, $out, $err) = velador('-c', $ini, map { ('-o', $_) } @apart[1, 2]);
is($code, 1, 'one on the same shm_file');
like($err, qr/arena \Q$dir\E\/arena is in use/, 'says so');
($code, $out, $err) = velador('-c', $ini, map { ('-o', $_) } @apart[0, 2]);
is($code, 1, 'one on the same address, though its sockets would share the port');
like($err, qr/\Q@{[$v->addr]}\E: /, 'says so');
ok($v->ctl('status'), 'the first is not disturbed');
is($v->stop, 0, 'SIGTERM: exit 0');
ok(!-e "$dir/control.sock", 'the control socket is gone');
ok(!-e "$dir/arena", 'so is the arena');
my ($status, undef, $why) = $v->ctl_raw('status');
is($status, 1, 'veladorctl without Velador: 1');
like($why, qr/\A[^\n]+no Velador[^\n]*\n\z/, 'and one line that says it');

# A former run that was killed whole leaves its files.
$v->run;
my @children = split ' ', slurp("/proc/@{[$v->pid]}/task/@{[$v->pid]}/children");
kill 'KILL', $v->pid;
Velador::reap($v->pid, 5);
ok(wait_for(sub { !grep { kill 0, $_ } @children }, 2, 'the children to die'), 'the supervisor killed: no child outlives it');
ok(-e "$dir/arena", 'the arena is left');
$v->run;
ok($v->ctl('status'), 'the next start takes the place');
kill 'INT', $v->pid;
is(Velador::reap($v->pid, 10), 0, 'SIGINT stops too');
delete $v->{pid};

my $pid = Velador::spawn('velador', "$dir/out", $program, '-c', $ini, '-o', "velador.log=$dir/file.log");
ok(wait_for(sub { slurp("$dir/file.log") =~ /\bready$/m }, 10, 'ready in the file'), 'log = a file');
is(slurp("$dir/out"), '', 'and nothing on stderr');
kill 'TERM', $pid;
is(Velador::reap($pid, 10), 0, 'stops');
done_testing;
