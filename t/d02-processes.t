# SPDX-License-Identifier: GPL-2.0-or-later
# Any child may die at any time and is back within 100 ms; one that is silent is replaced; one that dies again and again is not let burn the machine.
use strict;
use warnings;
use Test::More;
use Velador qw(now plan_of slurp wait_for);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(velador => { heartbeat => '500ms' }, plan_of(carrier => $carrier->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my $supervisor = $v->pid;

sub process_of {
	my ($kind, $index) = @_;
	return (grep { $_->{kind} eq $kind && $_->{index} == ($index // 0) } @{ ($v->ctl('status') // {})->{processes} // [] })[0];
}
sub children { return split ' ', slurp("/proc/$supervisor/task/$supervisor/children") }

my $status = $v->ctl('status');
is_deeply([map { "$_->{kind} $_->{index} $_->{restarts} $_->{state}" } @{ $status->{processes} }],
	['supervisor 0 0 running', 'worker 0 0 running', 'worker 1 0 running', 'timer 0 0 running', 'recorder 0 0 running', 'control 0 0 running'], 'status lists every process');
is($status->{processes}[0]{pid}, $supervisor, 'with its pid');
is($status->{calls}, 0, 'calls');
like($status->{uptime_s}, qr/^\d+$/, 'uptime_s');
like($status->{version}, qr/^\d+\.\d+/, 'version');
my %comm = map { my $name = slurp("/proc/$_/comm"); chomp $name; ($name => 1) } children();
is_deeply([sort keys %comm], [qw(velador-control velador-recorde velador-timer velador-w0 velador-w1)], 'each child bears its name') or diag(explain(\%comm));

my @kinds = (['worker', 0], ['worker', 1], ['timer', 0], ['recorder', 0], ['control', 0]);
for (@kinds) {
	my ($kind, $index) = @$_;
	my $was = process_of($kind, $index);
	my $all = children();
	my $began = now();
	kill 'KILL', $was->{pid};
	my $back = wait_for(sub { my @now = children(); return @now == $all && !grep { $_ == $was->{pid} } @now }, 5, "$kind $index");
	my $took_ms = (now() - $began) * 1000;
	ok($back && $took_ms <= 100, sprintf '%s %d killed: back within 100 ms (%.0f)', $kind, $index, $took_ms);
	my $is = wait_for(sub { my $p = process_of($kind, $index); return $p && $p->{pid} && $p->{pid} != $was->{pid} && $p->{state} eq 'running' ? $p : undef }, 5, "$kind in status");
	is($is->{restarts}, $was->{restarts} + 1, 'status counts it');
	like($v->log_text, qr/\Q(pid $was->{pid}) was killed by signal 9, replaced by pid $is->{pid}\E$/m, 'the log names both');
	my ($a, $b) = $phone->call($carrier);
	ok($phone->hang_up($a, $b), 'and calls go through');
}

# What comes while nobody is there waits in the kernel, and is answered by the successors.
{
	my @options = map { $phone->request('OPTIONS', 'sip:' . $v->addr) } 1 .. 20;
	my @workers = map { process_of('worker', $_)->{pid} } 0, 1;
	my $killed = Time::HiRes::time();
	kill 'KILL', @workers;
	$phone->send($_) for @options;
	my @answers = grep { $_ } map { $phone->want('200/OPTIONS') } @options;
	is(scalar(@answers), 20, 'both workers killed: twenty requests that came meanwhile are answered');
	my $took_ms = @answers ? ($answers[-1]{time} - $killed) * 1000 : 9999;
	cmp_ok($took_ms, '<=', 100, sprintf 'within 100 ms of their death (%.0f)', $took_ms);
}

# A call in progress does not notice.
my ($a, $b) = $phone->call($carrier);
kill 'KILL', children();
ok($phone->hang_up($a, $b), 'all children killed in a call: it ends as if nothing had been');
is($v->wait_record_of($a->{call_id})->{reason}, 'normal', 'and is recorded');

for my $kind (qw(worker timer)) {
	my $was = process_of($kind);
	my $began = now();
	kill 'STOP', $was->{pid};
	ok(wait_for(sub { my $p = process_of($kind); return $p && $p->{pid} && $p->{pid} != $was->{pid} }, 5, "$kind"), "a stopped $kind is replaced");
	cmp_ok(now() - $began, '>=', 0.4, 'but not before its heartbeat is due');
	like($v->log_text, qr/\Q(pid $was->{pid})\E.*silence/, 'and the log says why');
}
($a, $b) = $phone->call($carrier);
ok($phone->hang_up($a, $b), 'calls go through after');

# Killed before its loop has turned, again and again.
my ($forks, $began) = (0, now());
my $timer = process_of('timer')->{pid};
my %killed;
while (now() < $began + 1) {
	for my $pid (grep { slurp("/proc/$_/comm") eq "velador-timer\n" } children()) {
		next if $killed{$pid}++;
		kill 'KILL', $pid;
	}
	Velador::pause(0.001);
}
cmp_ok(scalar(keys %killed), '<', 30, 'a child that dies at its start is forked ever more slowly: ' . keys(%killed) . ' in a second');
ok(wait_for(sub { my $p = process_of('timer'); return $p && $p->{state} eq 'running' && !$killed{ $p->{pid} } }, 6, 'the timer'), 'and stays when it lives');
is($v->pid, $supervisor, 'the supervisor never went down');
$v->done_ok;

SKIP: {
	skip 'needs root', 4 if $> != 0 || !getpwnam('nobody');
	my $u = Velador->prepare(velador => { user => 'nobody' }, plan_of(carrier => $carrier->addr));
	my $uid = getpwnam('nobody');
	chmod 0777, $u->dir;
	$u->run;
	my @children = split ' ', slurp("/proc/@{[$u->pid]}/task/@{[$u->pid]}/children");
	my @uids = map { slurp("/proc/$_/status") =~ /^Uid:\t(\d+\t\d+\t\d+\t\d+)$/m } @children;
	is_deeply(\@uids, [("$uid\t$uid\t$uid\t$uid") x 5], 'user = nobody: every child has become it');
	is((stat $u->dir . '/control.sock')[4], $uid, 'the control socket belongs to it');
	$phone->{to} = $u->addr;
	my ($c, $d) = $phone->call($carrier);
	$phone->hang_up($c, $d);
	is(scalar(@{ $u->wait_records(1) }), 1, 'a call goes through and is recorded');
	kill 'KILL', $u->pid;
	Velador::reap(delete $u->{pid}, 5);
	ok(wait_for(sub { !grep { kill 0, $_ } @children }, 2, 'the children to die'), 'children without privileges die with the supervisor too');
}
done_testing;
