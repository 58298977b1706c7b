# SPDX-License-Identifier: GPL-2.0-or-later
# A child that cannot start waits ever longer for its next try. Meanwhile nobody waits for what it left: the readers' grace periods go on, or the others would soon
# find no room for any change.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of sipp sipp_ok slurp wait_for);

system('prlimit --version >/dev/null 2>&1') == 0 or plan(skip_all => 'needs prlimit');
my ($count, $rate) = (3000, 300);
my $port = Velador::free_port();
my $v = Velador->start(velador => { max_calls => 4000 }, plan_of(carrier => "127.0.0.1:$port"));
my ($control) = grep { $_->{kind} eq 'control' } @{ $v->ctl('status')->{processes} };
my ($soft) = slurp("/proc/@{[$v->pid]}/limits") =~ /^Max open files\s+(\d+)/m;
sub limit { return system('prlimit', '--pid', $v->pid, "--nofile=$_[0]:") == 0 }

# With no descriptor left for its loop it claims its slot, and gives up.
ok(limit(8), 'no file can be opened');
kill 'KILL', $control->{pid};
ok(wait_for(sub { (() = $v->log_text =~ /^.* control error: uv_loop_init: /mg) >= 5 }, 10, 'five starts'), 'control fails to start again and again');
my $uas = sipp(scenario => 'uas-basic', port => $port, count => $count, timeout => 40);
my $uac = sipp(scenario => 'uac-basic', to => $v->addr, count => $count, rate => $rate, timeout => 40, args => ['-d', 100, '-s', '100', '-l', 10000]);
sipp_ok("$count calls meanwhile", $uac, $uas) or $v->tell;
ok(limit($soft), 'files can be opened again');
ok(wait_for(sub { my $s = ($v->ctl_raw('status'))[0]; return $s == 0 }, 10, 'control'), 'control starts');
my $s = $v->stats;
is($s->{deferred}, 0, 'no message had to wait') or diag("resends $s->{resends}");
is($s->{retransmissions_in}, 0, 'nor to be sent again');
$v->done_ok;
done_testing;
