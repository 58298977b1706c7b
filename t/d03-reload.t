# SPDX-License-Identifier: GPL-2.0-or-later
# Reload: new calls get the new configuration, running ones keep theirs, a bad file changes nothing and says why, no call is lost.
use strict;
use warnings;
use POSIX qw(mkfifo);
use Test::More;
use Velador qw(plan_of sipp sipp_ok wait_for);
use Velador::Peer;

my ($carrier, $second) = map { Velador::Peer->new(name => $_) } qw(carrier second);
my $v = Velador->start(session => { max_call_duration => 3 }, plan_of(carrier => { address => $carrier->addr, prefix => 1 }));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my ($a, $b) = $phone->call($carrier, user => '100');

$v->change_ini('gateway second' => { role => 'callee', address => $second->addr, prefix => 2 }, session => { max_call_duration => 0 });
my $before = $v->ctl('status');
my ($status, $out, $err) = $v->ctl_raw('reload');
is($status, 0, 'veladorctl reload') or diag($err);
my ($c, $d) = $phone->call($second, user => '200');
ok($phone->hang_up($c, $d), 'a new gateway takes calls as soon as veladorctl returns');
my $after = $v->ctl('status');
is_deeply([map { $_->{restarts} } @{ $after->{processes} }], [0, 1, 1, 1, 1, 1], 'every child was replaced once');
is($after->{processes}[0]{pid}, $before->{processes}[0]{pid}, 'the supervisor was not');
ok($phone->want('BYE', timeout => 5), 'a running call keeps its parameters: max_call_duration ends it');

$v->change_ini(session => { ttl => 'long' }, 'gateway second' => { prefix => 3 });
($status, $out, $err) = $v->ctl_raw('reload');
is($status, 1, 'a bad file is refused');
like($err, qr/\A[^\n]+velador\.ini:\d+: session\.ttl: [^\n]+\n\z/, 'with file, line and key');
like($v->log_text, qr/velador\.ini:\d+: session\.ttl: .*\n.*nothing is changed/, 'in the log too');
($c, $d) = $phone->call($second, user => '200');
ok($phone->hang_up($c, $d), 'and nothing is changed');
is($v->stat_of('reload_failures'), 1, 'it is counted');

$v->change_ini(session => { ttl => 600 }, 'gateway third' => { role => 'callee', address => 'no-such-name.invalid', prefix => 4 });
($status, $out, $err) = $v->ctl_raw('reload');
is($status, 1, 'a new gateway whose name does not resolve is refused');
like($err, qr/no-such-name\.invalid/, 'by name');

$v->change_ini('gateway third' => { address => $second->addr }, velador => { max_calls => 3000, workers => 3 });
kill 'HUP', $v->pid;
ok(wait_for(sub { (() = $v->log_text =~ /the new configuration is in effect/g) == 2 }, 10, 'the reload'), 'SIGHUP reloads');
like($v->log_text, qr/velador\.workers: .*restart/, 'what needs a restart is named');
is(scalar(grep { $_->{kind} eq 'worker' } @{ $v->ctl('status')->{processes} }), 2, 'and stays');
($c, $d) = $phone->call($second, user => '400');
ok($phone->hang_up($c, $d), 'the rest is in effect');

# A second wish while a bad file is being read: the file that the checker reads is a pipe, and a good one takes its place meanwhile.
my ($file, $good) = ($v->dir . '/velador.ini', $v->dir . '/good.ini');
$v->change_ini('gateway fourth' => { role => 'callee', address => $second->addr, prefix => 6 });
rename $file, $good or die $!;
mkfifo($file, 0600) or die $!;
my $readings = () = $v->log_text =~ /reading the configuration again/g;
kill 'HUP', $v->pid;
open my $pipe, '>', $file or die $!;    # until the checker reads
kill 'HUP', $v->pid;
rename $good, $file or die $!;
print $pipe "[session]\nttl = long\n";
close $pipe;
ok(wait_for(sub { (() = $v->log_text =~ /reading the configuration again/g) == $readings + 2 }, 5, 'two readings'), 'SIGHUP during a reload that is refused: the file is read once more');
ok(wait_for(sub { (() = $v->log_text =~ /the new configuration is in effect/g) == 3 }, 10, 'the reload'), 'and taken') or $v->tell;
($c, $d) = $phone->call($second, user => '600');
ok($phone->hang_up($c, $d), 'it is in effect');

# Under load.
my $port = Velador::free_port();
$v->change_ini('gateway load' => { role => 'callee', address => "127.0.0.1:$port", prefix => 5 });
is(($v->ctl_raw('reload'))[0], 0, 'one more gateway');
my $uas = sipp(scenario => 'uas-basic', port => $port, count => 300, timeout => 40);
my $uac = sipp(scenario => 'uac-basic', to => $v->addr, count => 300, rate => 60, timeout => 40, args => ['-d', 200, '-s', '500', '-l', 10000]);
my $reloads = 0;
$reloads += ($v->ctl_raw('reload'))[0] == 0 while !defined($uac->{status} = Velador::reap($uac->{pid}, 0));
sipp_ok('300 calls under reloads', $uac, $uas) or $v->tell;
cmp_ok($reloads, '>=', 3, "$reloads reloads during 300 calls");
# Those of the calls before are in the file, too: it is these that are waited for.
my $normal = sub { return scalar grep { ($_->{callee_gateway} // '') eq 'load' && $_->{reason} eq 'normal' } @{ $v->records } };
wait_for(sub { return $normal->() >= 300 }, 20, '300 records');
is($normal->(), 300, 'each call ended as it should');
done_testing;
