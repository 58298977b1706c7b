# SPDX-License-Identifier: GPL-2.0-or-later
# RFC 4028: what is asked and agreed on each leg, whatever the other leg does.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Endpoint;

my $gw = Velador::Endpoint->new(name => 'gw');
my $lazy = Velador::Endpoint->new(name => 'lazy');
my $low = Velador::Endpoint->new(name => 'low');
my $v = Velador->start(
	plan_of(
		carrier => { address => $gw->addr, prefix => '1' },
		other   => { address => $lazy->addr, prefix => '1', priority => 20 },
		watched => { address => $lazy->addr, prefix => '2', refresher => 'endpoint' },
		short   => { address => $low->addr, prefix => '3', ttl => '120s', min_se => '100s' },
	),
	session => { ttl => '600s' });
my $phone = Velador::Endpoint->new(name => 'phone', to => $v->addr);

sub legs {
	my $call = shift;
	my ($brief) = grep { $_->{call_id} eq $call->{call_id} } @{ $v->ctl('calls') };
	return map { my $l = $_; join ' ', map { $_ // '-' } @$l{qw(timer interval_s refresher method next_action)} } @{ ($v->ctl('call', $brief->{id}) // {})->{legs} };
}
sub gone { my $call = shift; ok($phone->leave($call), 'clean end'); return }
sub se { my ($m) = @_; return $m ? $m->h('Session-Expires') : 'nothing' }

# Who has timers, what the legs come to be.
for (
	['both',       1, 1, 'session 600 self UPDATE refresh', 'session 600 self UPDATE refresh'],
	['the caller', 1, 0, 'session 600 self UPDATE refresh', 'none - - INVITE check'],
	['the callee', 0, 1, 'none - - INVITE check',           'session 600 self UPDATE refresh'],
	['neither',    0, 0, 'none - - INVITE check',           'none - - INVITE check'],
) {
	my ($who, $a, $b, @want) = @$_;
	my $call = $phone->talk($gw, interval => 1800, caller => { timer => $a }, callee => { timer => $b });
	is(se($call->{invite}), '600;refresher=uac', "RFC4028-7.1 $who: we ask the callee for our own interval");
	like($call->{invite}->h('Supported'), qr/\btimer\b/, 'with Supported: timer');
	is(scalar($call->{invite}->all('Session-Expires')), 1, 'once');
	is(se($call->{ok}), $a ? '600;refresher=uas' : '', 'RFC4028-9 the caller is answered for himself');
	is($call->{ok}->h('Require'), '', 'without Require: he need not refresh');
	is_deeply([legs($call)], \@want, 'both legs as agreed');
	gone($call);
	my $record = $v->wait_record_of($call->{call_id});
	is("@$record{qw(caller_timer callee_timer)}", ($a ? 'self' : 'none') . ' ' . ($b ? 'self' : 'none'), 'and in the record');
}
{
	my $call = $phone->talk($gw, interval => 300);
	is(se($call->{ok}), '300;refresher=uas', 'RFC4028-9 a shorter wish of the caller stands');
	is(se($call->{invite}), '600;refresher=uac', 'on his leg alone');
	gone($call);
	$call = $phone->talk($gw, interval => '1800;refresher=uac');
	is(se($call->{ok}), '600;refresher=uac', 'RFC4028-9 table 2: who wants to refresh does');
	is($call->{ok}->h('Require'), 'timer', 'RFC4028-9 then with Require: timer');
	is((legs($call))[0], 'session 600 endpoint UPDATE expire', 'and we watch');
	$call->{caller}->send('UPDATE', headers => [['Supported', 'timer'], ['Session-Expires', '600;refresher=uas']]);
	my $ok = $phone->want('200/UPDATE');
	is(se($ok), '600;refresher=uas', 'RFC4028-9 his refresh gives the role to us');
	is((legs($call))[0], 'session 600 self UPDATE refresh', 'as veladorctl shows');
	is(scalar(@{ $gw->refreshes($call) }), 1, 'it passed to the callee');
	is(se($gw->refreshes($call)->[0]), '600;refresher=uac', 'RFC4028-7.4 with the refresher right for that leg');
	gone($call);
}
{
	my $call = $phone->talk($gw, interval => '30', caller => { timer => 0 }, invite => [['Session-Expires', '30']]);
	is(se($call->{ok}), '30;refresher=uas', 'RFC4028-9 an interval that a proxy put in, of a caller without timers: no 422, and we refresh');
	is($call->{ok}->h('Require'), '', 'without Require: timer');
	gone($call);
	$call = $phone->talk($gw, interval => 1800, invite => [['Min-SE', '900']]);
	is(se($call->{ok}), '900;refresher=uas', 'RFC4028-9 never under the Min-SE of the request');
	gone($call);
	my $d = $phone->dialog;
	$d->invite(headers => [['Supported', 'timer'], ['Session-Expires', '80']]);
	my $no = $phone->want(422, call_id => $d->{call_id});
	is($no ? $no->h('Min-SE') : '', '90', 'RFC4028-9 an interval that is too small: 422 with Min-SE');
	$d->ack_failure($no) if $no;
	ok(!(grep { ($_->{method} // '') eq 'INVITE' } $gw->drain), 'the callee hears nothing');
	is($v->stat_of('intervals_too_small'), 1, 'counted');
	$call = $phone->talk($low, user => 300, interval => 1800);
	is(se($call->{invite}), '120;refresher=uac', 'a gateway\'s own ttl, on its leg');
	is($call->{invite}->h('Min-SE'), '100', 'its own Min-SE, too');
	is(se($call->{ok}), '600;refresher=uas', 'not on the caller\'s');
	$call->{callee}->send('UPDATE', headers => [['Supported', 'timer'], ['Session-Expires', '99']]);
	my $small = $low->want('422/UPDATE');
	is($small ? $small->h('Min-SE') : '', '100', 'RFC4028-9 422 within a dialog, too');
	gone($call);
}
# 422 from the gateway.
{
	my $d = $phone->dialog;
	$d->invite(headers => [['Supported', 'timer']]);
	my $first = $gw->want('INVITE', call_id => $d->{call_id});
	$gw->reply($first, 422, headers => [['Min-SE', '700']]);
	my $second = $gw->want('INVITE', call_id => $d->{call_id});
	ok($second, 'RFC4028-7.3 a 422 is consumed: the INVITE again') or die;
	is($second->cseq, $first->cseq + 1, 'with the next number');
	is($second->h('From'), $first->h('From'), 'the same From');
	is($second->h('To'), $first->h('To'), 'no To tag');
	isnt($second->branch, $first->branch, 'another branch');
	is(se($second), '700;refresher=uac', 'the interval raised');
	is($second->h('Min-SE'), '700', 'and Min-SE');
	is($second->{body}, $first->{body}, 'the same body');
	ok(!(grep { ($_->{status} // 0) > 100 } $phone->drain), 'the caller hears nothing');
	$gw->accept_refresh($second);
	my $ok = $phone->want('200/INVITE', call_id => $d->{call_id});
	$d->learn($ok)->ack;
	is(se($ok), '600;refresher=uas', 'his leg is as it was');
	my $call = { call_id => $d->{call_id}, caller => $d };
	is((legs($call))[1], 'session 700 self UPDATE refresh', 'the callee\'s is not');
	$d->send('UPDATE', headers => [['Supported', 'timer'], ['Session-Expires', '600;refresher=uas']]);
	$phone->want('200/UPDATE');
	is($gw->refreshes($call)->[0]->h('Min-SE'), '700', 'RFC4028-7.4 the Min-SE learned stays in every refresh');
	gone($call);
	is_deeply($v->wait_record_of($d->{call_id})->{tried}, ['carrier'], 'no gateway failed');
	is($v->stat_of('min_se_learned'), 1, 'counted');
}
{
	my $d = $phone->dialog;
	$d->invite;
	for (700, 800) {
		my $m = $gw->want('INVITE', call_id => $d->{call_id}) or last;
		$gw->reply($m, 422, headers => [['Min-SE', $_]]);
	}
	my $no = $phone->want(sub { ($_[0]{status} // 0) >= 300 });
	is($no ? $no->{status} : 0, 500, 'RFC4028-7.3 a second 422 is no loop; to the caller it is a 500');
	$d->ack_failure($no) if $no;
	ok($gw->never('INVITE', 0.2), 'no third INVITE');
	ok(!(grep { ($_->{method} // '') eq 'INVITE' } $lazy->drain), 'no other gateway');
	Velador::Endpoint::live(sub { !@{ $v->ctl('calls') } }, 5);
}
# 422 to a re-INVITE and an UPDATE that came from the other leg.
for my $method ('INVITE', 'UPDATE') {
	my $call = $phone->talk($gw);
	my $n = 0;
	$gw->on($call, sub { return $n++ ? 200 : [422, headers => [['Min-SE', '900']]] });
	$call->{caller}->send($method, sdp => 1, headers => [['Supported', 'timer']]);
	my $ok = $phone->want("200/$method", call_id => $call->{call_id});
	ok($ok, "RFC4028-7.3 a 422 to the caller's own $method is settled on the other leg");
	$call->{caller}->ack if $method eq 'INVITE' && $ok;
	my @m = @{ $gw->refreshes($call) };
	is(scalar(@m), 2, 'once more');
	is(se($m[1]), '900;refresher=uac', 'with the interval raised') if @m > 1;
	gone($call);
}
# A callee that takes the role.
{
	my $call = $phone->talk($lazy, user => 200, answer => { headers => [['Session-Expires', '400;refresher=uas'], ['Supported', 'timer']] });
	is(se($call->{invite}), '600', 'RFC4028-7.1 refresher = endpoint: the callee may choose');
	is((legs($call))[1], 'session 400 endpoint INVITE expire', 'RFC4028-7.2 he lowers the interval and refreshes');
	$call->{callee}->invite(headers => [['Supported', 'timer'], ['Session-Expires', '400;refresher=uac']]);
	my $ok = $lazy->want('200/INVITE', call_id => $call->{call_id});
	is(se($ok), '400;refresher=uac', 'his re-INVITE is answered likewise');
	$call->{callee}->ack;
	is((legs($call))[1], 'session 400 endpoint INVITE expire', 'the same role');
	$call->{callee}->invite;
	$ok = $lazy->want('200/INVITE', call_id => $call->{call_id});
	is(se($ok), '', 'RFC4028-9 a re-INVITE without timer');
	$call->{callee}->ack;
	is((legs($call))[1], 'none - - INVITE check', 'switches it off');
	is($v->stat_of('refreshes_sent'), 0, 'we sent none');
	gone($call);
}
$v->done_ok;
done_testing;
