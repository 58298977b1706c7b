# SPDX-License-Identifier: GPL-2.0-or-later
# Reload: a rotated log is left even where the file is refused, one who dies while he waits for his reload keeps no other from asking, and nothing is left open.
use strict;
use warnings;
use Test::More;
use Velador qw(build_dir plan_of slurp wait_for);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->prepare(velador => { heartbeat => '1s' }, plan_of(carrier => $carrier->addr));
my $log = $v->{log} = $v->dir . '/velador.log';
$v->change_ini(velador => { log => $log });
$v->run;
sub process { my ($kind, $index) = @_; return (grep { $_->{kind} eq $kind && $_->{index} == ($index // 0) } @{ ($v->ctl('status') // {})->{processes} // [] })[0] // {} }
sub files { my $pid = shift; return map { readlink($_) // () } grep { !m{/[012]$} } glob "/proc/$pid/fd/*" }

my $good = slurp($v->dir . '/velador.ini');
rename $log, "$log.1" or die "$log: $!\n";
$v->change_ini(session => { ttl => 'long' });
kill 'HUP', $v->pid;
ok(wait_for(sub { slurp($log) =~ /all write to the new log$/m }, 10, 'the new log'), 'a rotated log and a file with an error: SIGHUP opens the log anew');
like(slurp("$log.1"), qr/nothing is changed: .*session\.ttl/, 'the old one says that the file was refused');
my @pids = map { $_->{pid} } @{ $v->ctl('status')->{processes} };
is_deeply([grep { $_ eq "$log.1" } map { files($_) } @pids], [], 'and nobody writes to it any more');
open my $f, '>', $v->dir . '/velador.ini' or die $!;
print $f $good;
close $f;
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
ok($phone->hang_up($phone->call($carrier)), 'calls go through');

# Whoever asked dies before the reload is over: a stopped worker keeps it up, until it is replaced for its silence.
my ($first, $second, $control) = map { process(@$_) } ['worker', 0], ['worker', 1], ['control'];
kill 'STOP', $second->{pid};
my $asker = Velador::spawn('veladorctl', $v->dir . '/reload.out', build_dir() . '/veladorctl', '-s', $v->dir . '/control.sock', 'reload');
ok(wait_for(sub { (process('worker', 0)->{restarts} // 0) > $first->{restarts} }, 5, 'worker 0 to be replaced'), 'a reload is under way');
kill 'KILL', $control->{pid};
is(Velador::reap($asker, 5) >> 8, 1, 'control dies: who asked hears nothing more');
ok(wait_for(sub { slurp($log) =~ /the new configuration is in effect/ }, 10, 'the reload'), 'the reload is done all the same');
my ($status, undef, $why) = $v->ctl_raw('reload');
is("$status $why", '0 ', 'and the next one may ask');

my @before = files($v->pid);
is(($v->ctl_raw('reload'))[0], 0, 'reload') for 1 .. 10;
is(scalar(files($v->pid)), scalar(@before), 'ten reloads leave no file open') or diag(join ' ', files($v->pid));
$v->done_ok;
done_testing;
