# SPDX-License-Identifier: GPL-2.0-or-later
# The record file: a full disk delays lines and loses none, a rotated file goes on in a new one, CSV has the same fields.
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);
use Velador qw(alone plan_of slurp wait_for);
use Velador::Peer;

alone();
my $disk = tempdir('velador-disk-XXXXXX', TMPDIR => 1, CLEANUP => 1);
system('mount', '-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', $disk) == 0 or plan(skip_all => 'needs to mount a tmpfs');
END { system('umount', $disk) if $disk && ($ENV{VELADOR_ALONE} // '') eq '1' }
my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(record => { file => "$disk/calls.json" }, plan_of(carrier => $carrier->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

sub calls {
	my $n = shift;
	my @ids;
	for (1 .. $n) {
		my ($a, $b) = $phone->call($carrier, ring => 0);
		$phone->hang_up($a, $b);
		push @ids, $a->{call_id};
	}
	return @ids;
}

my @ids = calls(3);
is(scalar(@{ $v->wait_records(3) }), 3, 'records on an empty disk');

open my $fill, '>', "$disk/fill" or die "$disk: $!\n";
syswrite $fill, "\0" x 4096 or last for 1 .. 64;
close $fill;
push @ids, calls(40);
my $delayed = $v->wait_stat('records_delayed', 1);
cmp_ok($delayed, '>=', 1, 'a full disk: the recorder says that it waits');
like($v->log_text, qr/record file \Q$disk\E\/calls\.json: .*; records wait$/m, 'and so does the log');
my $lines = scalar @{ $v->records };
cmp_ok($lines, '<', scalar(@ids), "$lines lines of " . @ids . ' are there');
unlink "$disk/fill";
my $records = $v->wait_records(scalar(@ids), 10);
is_deeply([sort map { $_->{call_id} } @$records], [sort @ids], 'room again: every line is there, once');
like($v->log_text, qr/record file \Q$disk\E\/calls\.json: written again$/m, 'the log says when it is over');

# A stopped recorder: the lines come as soon as its successor runs, each once.
my ($recorder) = grep { $_->{kind} eq 'recorder' } @{ $v->ctl('status')->{processes} };
kill 'STOP', $recorder->{pid};
push @ids, calls(60);
cmp_ok(scalar(@{ $v->records }), '<', scalar(@ids), 'a stopped recorder: lines wait');
$records = $v->wait_records(scalar(@ids), 15);
is_deeply([sort map { $_->{call_id} } @$records], [sort @ids], 'none is lost, none is doubled');
like($v->log_text, qr/recorder.*\Q(pid $recorder->{pid})\E.*silence/, 'and the log says so');

rename "$disk/calls.json", "$disk/calls.old" or die "$disk: $!\n";
kill 'HUP', $v->pid;
my @later = calls(2);
wait_for(sub { return -e "$disk/calls.json" }, 5, 'a new file') or $v->tell;
push @later, calls(2);
my $new = $v->wait_records(1);
wait_for(sub { return 4 + @ids == @{ $v->records } + (() = slurp("$disk/calls.old") =~ /\n/g) }, 5, 'all lines in both files');
my @both = ((map { $_->{call_id} } @{ $v->records }), slurp("$disk/calls.old") =~ /"call_id":"([^"]+)"/g);
is_deeply([sort @both], [sort @ids, @later], 'a rotated file: every call is in one of the two');
$v->done_ok;

{
	my $csv = Velador->start(record => { format => 'csv' }, plan_of(carrier => $carrier->addr));
	$phone->{to} = $csv->addr;
	my $d = $phone->dialog;
	$d->{target} = 'sip:12%2C%223@' . $csv->addr;
	$d->invite;
	my $invite = $carrier->want('INVITE');
	$carrier->reply($invite, 486);
	$d->ack_failure($phone->want(486));
	my @lines = @{ wait_for(sub { my @l = split /\n/, slurp($csv->{record}); return @l >= 2 ? \@l : undef }, 5, 'two lines') // [] };
	is($lines[0], 'id,call_id,from,to,dialed,sent,caller_gateway,caller_addr,callee_gateway,callee_addr,tried,setup_at,ringing_at,answered_at,ended_at,duration_ms,'
			. 'setup_ms,pdd_ms,ended_by,reason,sip_status,q850,caller_timer,callee_timer,refreshes,resends,caller_100rel,callee_100rel', 'CSV: a head line with the same fields');
	my @fields;
	push @fields, defined $1 ? $1 =~ s/""/"/gr : $2 while ($lines[1] // '') =~ /\G(?:"((?:[^"]|"")*)"|([^,]*))(?:,|$)/g && @fields < 26;
	is(scalar(@fields), 26, 'a line has as many');
	my %r;
	@r{ split /,/, $lines[0] // '' } = @fields;
	is_deeply([@r{qw(call_id reason sip_status answered_at dialed)}], [$d->{call_id}, 'busy', 486, '', '12,%223'], 'RFC4180-2 quoted where it must be, empty where nothing happened');
	$csv->done_ok;
}
done_testing;
