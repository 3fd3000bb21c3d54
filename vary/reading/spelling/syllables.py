"""Spell Vietnamese syllables by how usual they are: `phấm` is `phẩm`, and `thiểt` is `thiết`.

Letters with two marks differ by a pixel or two. Of the syllables that differ in marks alone, most are much rarer than
one. So the probability of a word is that of its letters times that of the syllable.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from functools import cache
from math import log

import numpy as np

from ...document.alphabets import ACCENTS, WITHOUT_STROKE

LEAST = 2, 0.06  # letters that only Vietnamese has, in a line of it, and their share of its letters
FAINTEST = 1e-5  # least probability of a letter that is chosen
SHARE = 0.8  # of the evidence of the syllables that counts
STRANGE = -6.0  # how usual, as the digits below, a word is that is none of the syllables
WORD = re.compile(r"[^\W\d_]+")

# Syllables, without those that no other one differs from in marks alone. The digit says how usual each is: 9 is twice
# as usual as 8. Counted in messages of programs of Debian 12 (28 packages) and in the help of LibreOffice: 971,000.
_SYLLABLES = """
a9 ac1 ai3 am2 an7 ang0 anh3 ao0 ap0 at6 au0 ay0 ba5 bai0 bam0 ban3 bang2 bao5 bat0 bau0 bay0 be8 ben0 bi3 bit4 biên5
biến6 biết4 biển0 biểu7 biệt5 bo1 bom0 bon0 bu2 bung2 but4 buông2 buổi0 buộc4 bà0 bài2 bàn4 bày2 bá0 bám0 bán3 báng0
bánh2 báo6 bát2 bây2 bãi1 bão2 bê1 bên7 bì4 bình4 bí3 bích0 bíp1 bít2 bó2 bóng3 bô2 bôi0 bù4 bút2 băm2 băng2 bơ0 bơt0
bưu0 bước4 bạ0 bạc0 bại2 bạn8 bản8 bảng7 bảo5 bảy0 bấm5 bất5 bầu3 bẩn0 bẫy3 bậc3 bận1 bật6 bắc4 bắt6 bằng7 bề4 bền0
bệ2 bỉ1 bị7 bọc0 bọt0 bỏ7 bố5 bốn2 bốt0 bồ1 bồi0 bổ4 bộ8 bội2 bớt1 bờ0 bởi5 bợ0 bức1 ca4 cai0 cam0 can7 canh5 cao5
cap0 cat1 cay0 cha3 chay0 che1 chen0 chi5 chia4 chin1 chinh0 chiếm2 chiến1 chiếu7 chiều6 chiệu0 cho9 chu2 chung5
chuyển7 chuyện0 chuẩ0 chuẩn6 chuỗi7 chuột5 chào2 chân4 châu5 chèn7 chéo3 chép5 chê0 chì0 chìa0 chình0 chí2 chín0
chính6 chó0 chói0 chóng0 chóp0 chú6 chúng4 chơi0 chưa7 chương6 chạ0 chạm1 chạy6 chấm5 chấp4 chất1 chẩn0 chậm0 chắc3
chắn1 chẳng3 chẵn2 chặn2 chặt0 chẹnh0 chẽ0 chế6 chết3 chỉ8 chỉnh6 chịu2 chọn9 chối3 chống0 chốt0 chồng2 chổi4 chỗ4
chớp0 chờ3 chụp1 chủ7 chứ2 chứa7 chức5 chứng4 chừa0 chữ7 chữa3 co4 com5 con7 cong4 cot0 cu2 cua0 cung4 cut1 cuối6
cuốn1 cuộc3 cuộn5 cà0 cài6 càng0 cá2 các9 cách7 cái6 cán1 cáo3 cáp0 câm0 cân2 câu5 cây4 còn6 có9 cô2 công7 cùng6 cú5
căm0 căn3 cũ5 cũng6 cơ6 cơm0 cưa0 cước3 cường1 cạ0 cạn1 cạnh5 cả6 cải2 cảm1 cản1 cảnh7 cấm2 cấp6 cất3 cấu6 cầm1 cần7
cầu5 cẩn0 cậ0 cận2 cập7 cậy1 cắ0 cắm3 cắt4 cặp3 cố4 cốt1 cổ2 cổng2 cộng6 cột6 cờ4 cỡ7 cợ1 cụ6 cục5 cụt0 của9 cứ4 cứng3
cứu1 cử0 cửa6 cực2 da0 danh7 day3 de3 di5 dia0 die0 diễn4 diện5 do6 doc3 don0 dot2 du1 dung6 dup0 duyệt4 dài6 dàn1
dàng0 dành3 dày0 dán3 dáng6 dát0 dân3 dây0 dãn1 dãy4 dính2 dò2 dòng7 dõi4 dù1 dùng8 dơ0 dư0 dương4 dưới6 dạng8 dải2
dấu7 dần3 dầu0 dẫn7 dẹp1 dễ1 dị0 dịch6 dọc5 dọn1 dốc3 dời2 dụ5 dục3 dụng7 dứt3 dừng4 dữ8 dự3 dựa4 dựng3 e6 et2 gai1
gan1 gap0 gay0 ge1 ghé0 ghép1 gi3 gia4 giai0 gian6 giao6 gic0 gie0 giá8 giác3 gián2 giáo1 giáp0 giây4 giãn4 giê0
giêng0 gió0 giúp5 giơ0 giả4 giải5 giảm4 giản2 giấy4 giết0 giống4 giới5 giờ5 giữ5 giữa6 go2 gon0 got2 gu1 gui0 gài0
gán5 gây2 gì4 gíc0 góc5 gói6 góp1 gô3 gõ6 gơ0 gư0 gạch5 gấp1 gần4 gắn4 gắng0 gặp7 gọi5 gọn1 gốc4 gồm4 gộp2 gột0 gởi1
gỡ6 gợ0 gợi3 gợn0 gửi5 ha2 hai6 han0 hao2 hat0 hau0 hay8 he1 hi2 hit0 hiên0 hiểm0 hiển8 hiểu4 hiện8 hiệp0 hiệu7 hoa4
hoà5 hoàn5 hoàng0 hoá3 hoán2 hoát0 hoãn1 hoạ1 hoạch0 hoạt6 hoặc7 hu1 hung1 huyền0 huỷ0 hà1 hàm7 hàn1 hàng6 hành6 hân0
hãn0 hãng0 hãy6 hình7 hòa4 hóa4 hô1 hôm2 hôn0 hông0 hút0 hơn6 hư1 hướng6 hưởng2 hạ3 hạn6 hạng4 hạt3 hầu0 hậu4 hằng2
hẳn0 hẹn2 hẹp0 hẻ0 hết4 hệ6 họ2 họa5 học3 họp2 hỏi2 hỏng4 hồ4 hồi4 hồng0 hỗ6 hỗn1 hội2 hộp7 hở0 hợp8 hủ0 hủy4 hữu4 i6
ia0 io1 it6 iu0 iêng0 iúp0 kan0 ke0 ken0 kha1 khai3 khi8 khiến0 khiển6 kho6 khoa0 khoá3 khoán3 khoát1 khoản3 khoảng6
khu1 khung5 khuyên1 khuyến0 khuôn0 khác7 khách2 khái0 khán0 khéo1 khí0 khích0 khít1 khó0 khóa5 khô0 khôi0 không9 khúc4
khăn0 khơ0 khư0 khả5 khảo0 khấc0 khấu2 khẩn0 khẩu5 khắc1 khẳng0 khỏi5 khối4 khớp5 khởi5 khợ1 khử0 ki2 kinh1 kit0 kiếm5
kiến4 kiể0 kiểm5 kiểu8 kiện5 kiệu0 ko0 kuổ0 kè0 kèm3 kéo5 kép2 kê6 kênh4 kêu1 kì0 kí2 kích7 kính3 kô0 kông0 ký8 kẹp0
kẻ0 kẽ2 kế5 kết8 kề2 kể2 kịch2 kỳ5 kỷ1 kỹ0 la5 lai2 lam1 lan4 lang0 lanh0 lau1 lay0 le3 len2 let1 león0 li4 ling0
linh1 liên8 liêt0 liêu0 liền0 liệt5 liệu8 lo1 loan1 loc1 lon0 long4 lop1 lot0 loại5 lu5 lua0 lui0 luo0 luôn4 luận1
luật1 luồng4 ly0 là8 làm7 lào1 lá2 lát2 lân0 lâu0 lãi4 lãnh1 lê2 lên6 lí0 lòng2 lóe0 lót0 lô1 lôm0 lông0 lõi1 lõm0 lù0
lùi3 lúc4 lý7 lăn0 lũy3 lơi0 lư0 lưu7 lưới4 lường0 lược4 lượng5 lượt0 lạ3 lạc4 lại8 lạnh0 lạp1 lấp1 lấy5 lần6 lẫn3
lận0 lập5 lật2 lắng0 lắp0 lặng0 lặp5 lặt0 lẻ4 lẽ3 lề5 lệ7 lệch3 lệnh8 lịch4 lọc5 lối0 lồi0 lồng1 lỗ0 lỗi8 lộ0 lộn0
lớn5 lớp5 lờ2 lời5 lợi2 lục5 lửa0 lửng2 lựa4 lực4 ma5 mac1 mach1 mai1 man3 mang0 mao0 map1 mat0 mau0 may4 me2 mem0
men1 met1 mi3 mic0 min2 minh2 mit0 miêu0 miến0 miếng3 miền5 miễn0 mo2 moc0 mon1 mong3 mu0 mua2 muốn6 muộn0 my3 mà6
mài0 màn4 màu7 má0 máng1 máy6 mâu0 mã7 mãi0 mãn0 méo1 mép0 mét0 mê2 mìn0 mình1 mó0 móc3 mô6 môi4 mông1 môđun0 mùa0
múi2 mũ3 mũi5 mơ0 mười1 mạ0 mạch2 mạng3 mạnh2 mạo1 mảng5 mảnh1 mất3 mầu0 mẩu1 mẫu7 mận0 mật5 mắt0 mặc6 mặt4 mẹ2 mẹo3
mềm5 mệnh1 mịn2 mọi6 mỏng0 mốc0 mối0 mồng0 mỗi6 một9 mớ0 mới7 mờ3 mời0 mở7 mục8 mức4 mừng0 mực1 mỹ4 na4 nac0 nam4 nan0
nang0 nau0 nay2 ne1 net1 nga1 ngay3 nghe2 nghi0 nghiêm3 nghiêng3 nghiệm0 nghiệp1 nghìn0 nghĩa6 nghệ2 nghỉ0 nghị3
nghịch0 ngoài5 ngoại4 ngoặc4 nguyên6 nguồn6 ngày6 ngã0 ngôi1 ngôn5 ngăn4 ngưng0 người6 ngưỡng2 ngược5 ngạch0 ngầm2
ngẫu3 ngắm0 ngắn4 ngắt5 ngọn0 ngột0 ngờ2 ngụ3 ngủ0 ngừng1 ngữ6 nha2 nhanh3 nhi0 nhiên4 nhiêu2 nhiều6 nhiễu1 nhiệm3
nhuận1 nhà3 nhánh5 nháp3 nháy2 nhân5 nhãn5 nhìn1 nhòe0 nhóm6 nhôm0 nhúm0 nhúng2 nhĩ2 như6 nhưng5 nhường0 nhạc2 nhạt1
nhạy2 nhả0 nhảy3 nhấn7 nhấp1 nhất6 nhận7 nhập7 nhật6 nhắc3 nhắn1 nhắp3 nhẹ1 nhị3 nhịp0 nhọn1 nhỏ5 nhớ6 nhờ0 nhở2
những7 niệm0 no6 non4 nong0 not7 nu1 nuc0 nui0 nào6 này8 nâng4 nâu0 nén5 nét3 nê3 nên6 nó7 nói1 nón0 nóng0 nô1 nông0
nút6 nă0 năm5 năng6 nơi3 nước4 nạ3 nạp4 nảy0 nắm0 nắn0 nắp0 nằm6 nặc0 nặng0 nếu7 nền5 nối6 nốt2 nổi3 nội6 nới0 nợ0
nửa1 nữ0 nữa4 o5 oa1 on7 ong0 oua2 oue1 oui0 ouê0 oàn0 pe2 pha2 phan0 phi3 phim1 phiên6 phiếu1 phiền0 phong4 phu0 phá0
phác3 pháp6 phát5 phân7 phép6 phê0 phí0 phía4 phím7 phít0 phòng2 phóng4 phông6 phù2 phú0 phúc0 phút2 phơi0 phương5
phạm6 phạn0 phải8 phản3 phần8 phẩm0 phẩy3 phận1 phẳng1 phỏng2 phố2 phối2 phổ0 phợ1 phụ6 phục5 phủ2 phức3 po3 pê1 pô0
pợ0 qua6 quan7 quang0 quy5 quyết4 quyền5 quyển0 quá6 quán0 quát1 quét3 quên1 quý0 quạt1 quả5 quản5 quảng1 quần3 quẩn0
quận0 quốc4 ra8 rai0 ram0 ran1 rang0 ranh1 re2 ren0 ri5 ric0 rich0 rio0 riêng6 ro1 roc0 ron0 rot0 ru3 ruc0 ràng3 rác4
rái0 râ0 rã2 rãnh1 rê2 río0 ròng0 rô3 rõ6 rút3 răng0 rơ0 rước0 rạc0 rạng0 rả0 rải0 rảnh0 rất3 rập2 rắc0 rắng0 rằng3
rẽ1 rốc0 rối0 rồi5 rỗng5 rộn0 rộng6 rời3 rỡ0 rừng0 rửa0 rực1 sa2 sai6 san3 sang6 sao6 sau7 se0 sec0 si2 siêu4 so5
song2 soạn3 su0 sup0 suất4 suốt4 sàn0 sàng5 sách7 sáng4 sánh3 sát2 sáu0 sân0 sâu2 são0 séc1 sê0 síp0 sóng0 sót0 sô1
sông1 súc0 sĩ1 sơ4 sơn2 sưu3 sườn0 sạch2 sản2 sắc5 sắp6 sẵn6 sẻ2 sẽ7 sọc0 số9 sống0 sổ6 sớm1 sở6 sụp0 sức1 sử6 sửa7
sự6 sỹ0 ta3 tai1 tam0 tan1 tang1 tanh0 tay4 te1 ten1 tha1 thai0 tham7 than4 thanh7 thao5 that8 thay7 the9 them3 then6
thi4 thiếp2 thiết6 thiếu5 thiểu4 thiện1 thiệu1 thoát5 thoại6 thoả0 thu4 thua0 thuyết0 thuần0 thuẫn0 thuận1 thuật4
thuế0 thuốc0 thuộc7 thuỵ0 thành7 thái6 tháng6 thánh0 tháo3 thân2 thê1 thêm7 thì7 thí4 thích5 thô3 thôi4 thông7 thùng2
thúc6 thăm2 thănh0 thơ0 thư8 thưa0 thương0 thước5 thường6 thượng2 thả4 thảo3 thấp3 thất2 thấu0 thấy6 thẩm2 thậm1 thận0
thập4 thật2 thắng0 thẳng3 thẻ6 thế6 thể9 thị8 thọ0 thỏa2 thống6 thổ2 thớt0 thời7 thợ0 thụ0 thụt3 thụy1 thủ4 thủy0 thứ7
thức7 thừa3 thử6 thự0 thực6 ti3 tia0 tic0 tim0 tin9 tinh3 tiên5 tiêu6 tiếc1 tiến6 tiếng8 tiếp6 tiết4 tiềm0 tiền6 tiểu1
tiện2 to9 toa0 toc1 tom0 ton1 toàn5 toán5 toạ0 tra5 trang7 tranh0 trao2 tre0 tri1 trinh0 triển2 triệu0 trong9 trung4
truyền3 trà0 tràn3 trái6 trán0 tránh2 tráo1 trên7 trì2 trình8 trí7 trích4 trò1 tròn4 trôi2 trông0 trùng4 trúc5 trăm3
trơ0 trơn0 trưng3 trước6 trường7 trượt3 trạng6 trả7 trải0 trận2 trắng4 trặc0 trễ1 trệch2 trị8 trọng3 trỏ5 trống5 trộn5
trời1 trở3 trợ7 trụ0 trục4 trứng0 trừ4 trữ2 trực4 tu3 tua0 tuc0 tuy3 tuyên0 tuyến4 tuyển0 tuyệt3 tuân0 tuần3 tuốc0
tuổi0 tuỳ3 ty1 tài7 tá0 tác6 tách4 tái3 tám0 tán0 tâm2 tân0 tây4 tê1 tên8 tìm7 tình4 tíc0 tích5 tím0 tín4 tính7 tóm2
tô5 tôi2 tông0 tù0 tùy8 tă0 tăng5 tĩnh1 tơ3 tư3 tươi1 tương6 tước2 tưởng0 tượng8 tạ0 tại6 tạm5 tạng0 tạo7 tạp2 tả5
tải5 tảng1 tất6 tầm0 tần2 tẩy1 tận0 tập9 tắc4 tắt6 tế2 tệ4 tệp2 tỉ1 tỉa0 tỉnh0 tịch3 tọa0 tố4 tốc3 tối6 tốt2 tồn5 tổ5
tổng5 tộc0 tới6 tờ2 tợ0 tục5 tứ0 tức3 từ8 từng3 tử5 tự8 tựa4 tỷ4 u6 ua0 um0 ung0 uy2 uốn1 uộc0 uỷ1 va3 vai2 van0 vay0
ve1 vec0 ven1 vi6 vinh0 viên3 viết5 viền5 viễn0 việc6 viện5 việt2 vo0 vouă0 vuông3 và9 vài3 vàng1 vào9 vá3 vác0 vân0
véc2 vê0 vì5 ví4 vòng3 vô3 vùng7 văn8 vĩ4 vĩnh1 vũ0 vơ0 vương2 vượt3 vạch0 vải0 vấn4 vấy0 vẫn4 vận0 vật1 vậy4 vắn0
vắng0 vặt0 vẹn0 vẻ1 vẽ6 vết3 về7 vệ3 vị7 vịnh0 vọng0 vỏ4 vốn0 vớ0 với8 vở0 vỡ0 vợ0 vụ5 vừa4 vực0 xa4 xam1 xao0 xau0
xe2 xem7 xen2 xi4 xich0 xiên2 xo1 xoa0 xoay4 xon0 xong3 xoá6 xoáy0 xoă0 xoắn1 xu3 xung4 xuyên0 xuyệc0 xuôi0 xuất7
xuống5 xác7 xách0 xám2 xâm0 xây3 xã0 xéc1 xén2 xét2 xê1 xích1 xóa5 xóm0 xô2 xông0 xúc0 xơ0 xạ4 xảy3 xấp0 xấu0 xẻ2 xếp6
xỉ0 xị0 xối1 xợ3 xứng1 xử5 y5 yet1 yên0 yêu5 yếu2 yển0 à0 á4 ác0 ái1 án0 ánh5 áp6 át0 âm5 âu3 ép3 ê2 ích3 ít4 ô8 ôm0
ông0 úc1 ý5 ă0 ăn0 ăng0 đ4 đa6 đan2 đang7 đanh0 đat0 đe1 đem1 đen2 đi5 đin0 đinh0 đit0 điền4 điều7 điể0 điểm7 điển3
điện4 điệp4 điệu0 đo3 đoa1 đoc0 đon0 đoán1 đoạn6 đu2 đun5 đuôi2 đài1 đào1 đá0 đáng2 đánh6 đáp2 đáy2 đâu1 đây6 đã8 đè4
đèn0 đét0 đình0 đích5 đính4 đít0 đó7 đón0 đóng5 đô3 đôi4 đông3 đúng6 đúp2 đăng4 đĩa4 đơ0 đơn7 đưa5 đương2 đường7 được9
đại4 đạo0 đạt0 đả0 đảm2 đảo5 đất0 đầ0 đầu8 đầy4 đẩy3 đậm3 đập0 đắn0 đắp0 đằng3 đẳng0 đặc5 đặn0 đặt8 đẹp0 đế0 đếm4 đến7
đề7 đều4 để9 đệ3 đệm5 đỉnh2 đị0 địa6 định9 đọc6 đỏ3 đối8 đống3 đồ6 đồng5 đổ4 đổi8 độ7 độc1 độn0 động7 đột4 đời0 đỡ0
đợ0 đợi4 đụ0 đục2 đủ4 đức2 đứng3 đừ0 đừng4 đựng0 ơ0 ư0 ưa0 ưu4 ước2 ả0 ảnh8 ảo2 ấn4 ấy1 ẩn5 ốc0 ối0 ống3 ổ3 ổn0 ở7 ủy3
ứng6
"""


def spell_syllables(
    path_TA: np.ndarray, text: str, at: np.ndarray, confidence: np.ndarray, alphabet: str
) -> tuple[str, np.ndarray]:
    """Return a line with the likeliest syllables, if it is Vietnamese, and the confidence of each character.

    Args:
        path_TA: Probabilities (T, A) along the line.
        text: Of its best path.
        at: Frame of each character.
        confidence: Of each character.
        alphabet: Character of each class from 1.
    """
    own = _own_letters()
    if sum(ch in own for ch in text.lower()) < max(LEAST[0], LEAST[1] * sum(map(str.isalpha, text))):
        return text, confidence
    out, sure = text, confidence.copy()
    for found in WORD.finditer(text):
        odds_NA, word = path_TA[at[found.start() : found.end()]], found[0]
        spelt = _likeliest(word, odds_NA, alphabet)
        for k, (ch, other) in enumerate(zip(word, spelt, strict=True)):
            if ch != other:
                sure[found.start() + k] = odds_NA[k, alphabet.index(other) + 1]
        out = out[: found.start()] + spelt + out[found.end() :]
    return out, sure


def _likeliest(word: str, odds_NA: np.ndarray, alphabet: str) -> str:
    """Return the likeliest of a word and the syllables that differ from it in marks alone, in its case."""
    known = _syllables().get(_without_marks(word.lower()), {})
    cased = {"".join(b.upper() if a.isupper() else b for a, b in zip(word, one, strict=True)) for one in known} | {word}

    def likely(one: str) -> float:
        odds = [float(odds_NA[k, alphabet.index(ch) + 1]) for k, ch in enumerate(one)]
        usual = known.get(one.lower(), STRANGE)
        return sum(log(max(p, 1e-9)) for p in odds) + SHARE * log(2) * usual if min(odds) >= FAINTEST else -np.inf

    return max(sorted(cased), key=likely) if known else word


@cache
def _syllables() -> dict[str, dict[str, int]]:
    """Return how usual each syllable is, by its letters without marks."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for one in _SYLLABLES.split():
        found[_without_marks(one[:-1])][one[:-1]] = int(one[-1])
    return dict(found)


@cache
def _own_letters() -> frozenset[str]:
    """Return the letters that only Vietnamese has."""
    others = set().union(*(letters for name, letters in ACCENTS.items() if name != "Vietnamese"))
    return frozenset(ACCENTS["Vietnamese"].keys() - others)


def _without_marks(word: str) -> str:
    return "".join(unicodedata.normalize("NFD", ch)[0] for ch in word).translate(WITHOUT_STROKE)
